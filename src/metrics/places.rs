//! Where the requests of each route are counted: a place for each name, by which a core records.
//!
//! A request that is in flight while another API takes the place of its own is recorded afterwards, so a
//! name keeps its place as long as both APIs or one of them have it. Names of neither make room for others.

use std::sync::Arc;

use super::snapshot::Snapshot;

/// The places of the routes of one API.
#[derive(Clone)]
pub struct Places {
    /// By place; also names that the API does not have.
    pub names: Arc<[String]>,
    /// By route, then those of [`Snapshot::BUILT_IN`].
    of: Arc<[usize]>,
}

impl Places {
    /// Of the first API, whose routes have these names: in their order.
    pub fn of_first<'a>(routes: impl Iterator<Item = &'a str>) -> Places {
        let names = Snapshot::names(routes);
        Places {
            of: (0..names.len()).collect(),
            names,
        }
    }

    /// Of an API that is to take the place of the one with these.
    pub fn of_next<'a>(&self, routes: impl Iterator<Item = &'a str>) -> Places {
        let wanted = Snapshot::names(routes);
        let mut names = self.names.to_vec();
        let is_free = |place: usize, names: &[String]| {
            !self.of.contains(&place) && !wanted.contains(&names[place])
        };
        let mut of = Vec::with_capacity(wanted.len());
        for name in wanted.iter() {
            let known = names.iter().position(|known| known == name);
            let place = known.or_else(|| (0..names.len()).find(|&place| is_free(place, &names)));
            let place = place.unwrap_or(names.len());
            match names.get_mut(place) {
                Some(known) => known.clone_from(name),
                None => names.push(name.clone()),
            }
            of.push(place);
        }
        Places {
            names: names.into(),
            of: of.into(),
        }
    }

    /// Of a route, or past them of what is built in.
    pub fn of(&self, route: usize) -> usize {
        self.of[route]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(places: &Places, route: usize) -> &str {
        &places.names[places.of(route)]
    }

    #[test]
    fn a_name_keeps_its_place_and_leaves_it_to_others_at_last() {
        let first = Places::of_first(["a", "b"].into_iter());
        assert_eq!(
            (first.of(0), first.of(1), name(&first, 2)),
            (0, 1, "/health")
        );
        let second = first.of_next(["c", "b"].into_iter());
        assert_eq!(
            (second.of(0), second.of(1)),
            (5, 1),
            "a may still be in flight"
        );
        assert_eq!((name(&second, 0), name(&second, 4)), ("c", "(unmatched)"));
        let third = second.of_next(["b", "d", "c"].into_iter());
        assert_eq!((third.of(0), third.of(1), third.of(2)), (1, 0, 5));
        assert_eq!(third.names.len(), 6);
        let mut places = third;
        for number in 0..50 {
            let names = [format!("x{number}"), format!("y{number}")];
            places = places.of_next(names.iter().map(String::as_str));
            assert_eq!(name(&places, 1), names[1]);
            assert_eq!(name(&places, 3), "/ready");
        }
        assert!(places.names.len() < 10, "{:?}", places.names);
    }
}
