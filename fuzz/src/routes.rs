//! The routes file: it is read or it is refused with places inside the file; what is read can be
//! routed, planned and shown.

use pinion::api::{self, Api, Diagnostics, Found};
use tokio_postgres::types::Type;

/// All of it for one input. What is not UTF-8 never gets as far as the reader.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match api::load("routes.toml", text) {
        Ok(api) => every_route_is_reachable(&api),
        Err(faults) => every_place_is_in_the_file(text, &faults),
    }
}

fn every_place_is_in_the_file(text: &str, faults: &Diagnostics) {
    assert!(!faults.is_empty(), "refused without a reason");
    let lines: Vec<&str> = text.split('\n').collect();
    for fault in faults.iter() {
        assert!(!fault.message().is_empty() && !fault.message().contains('\n'));
        let line = lines[fault.line() - 1];
        assert!((1..=line.chars().count() + 1).contains(&fault.column()));
        let shown = fault.to_string();
        let place = format!("routes.toml:{}:{}\n", fault.line(), fault.column());
        assert!(shown.contains(&place) && shown.contains('^'));
        let unfit = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
        // The message quotes what the file says; the line of the file is shown without them.
        let quoted = shown.split_once('\n').map_or("", |(_, rest)| rest);
        assert!(!quoted.contains(unfit), "{quoted:?}");
    }
    assert!(
        faults
            .iter()
            .is_sorted_by_key(|fault| (fault.line(), fault.column()))
    );
}

/// Whatever the parameters stand for, a declared path finds a route of its method, with as many
/// captures as the path has parameters.
fn every_route_is_reachable(api: &Api) {
    for route in &api.routes {
        let segments = route.path.as_str().split('/').map(|segment| match segment {
            text if text.starts_with('{') => "~",
            text => text,
        });
        let path = segments.collect::<Vec<&str>>().join("/");
        let Found::Route { index, captures } = api.router.find(Some(route.method), &path) else {
            panic!("{path} finds nothing");
        };
        let found = &api.routes[index];
        assert_eq!(found.method, route.method);
        assert_eq!(captures.as_slice().len(), found.path.params().len());
        assert_eq!(route.statement.params.len(), route.params.len());
        // Whatever the types are, the plan is made or refused with a place.
        for ty in [Type::TEXT, Type::INT8, Type::JSONB, Type::TEXT_ARRAY] {
            let types = vec![ty; route.params.len()];
            let columns = [("column".to_owned(), Type::INT8)];
            match route.plan(api, &types, &columns) {
                Ok(plan) => assert_eq!(plan.params.len(), types.len()),
                Err(faults) => {
                    let faults = Diagnostics::new(faults);
                    every_place_is_in_the_file(api.source.text(), &faults);
                }
            }
        }
    }
}
