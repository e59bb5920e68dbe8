//! The table that `pinion check` prints: every route with its parameters and columns.

use std::fmt::Write;

use super::file::Api;
use super::plan::{Plan, PlanParam};
use super::route::Route;
use crate::guard::auth::{DatabaseRole, Scheme};

/// A route that Postgres has described.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// How it binds and what it returns.
    pub plan: Plan,
    /// Whether its requests are batched, in words.
    pub batching: String,
}

/// The routes with what was resolved of them (in the same order) as text, aligned.
///
/// ```text
/// GET     /users/{user_id}  get_user  one   batched
///         rate limit default, auth jwt, as the role agent
///         user_id   path  int8  required
///         → user_id   int8  integer
///         → username  text  string
/// ```
pub fn table(api: &Api, resolved: &[Resolved]) -> String {
    let mut out = String::new();
    let path_width = width(api.routes.iter().map(|route| route.path.as_str()));
    let name_width = width(api.routes.iter().map(|route| route.name.as_str()));
    let result_width = width(api.routes.iter().map(|route| route.result.as_str()));
    for (index, (route, Resolved { plan, batching })) in api.routes.iter().zip(resolved).enumerate()
    {
        if index > 0 {
            out.push('\n');
        }
        let head = [
            (route.method.as_str(), METHOD_WIDTH),
            (route.path.as_str(), path_width),
            (route.name.as_str(), name_width),
            (route.result.as_str(), result_width),
            (batching.as_str(), 0),
        ];
        line(&mut out, "", &head);
        let guards = guard_words(api, route);
        if !guards.is_empty() {
            rows(&mut out, "", &[[guards.join(", ")]]);
        }
        let params: Vec<[String; 4]> = plan.params.iter().map(param_cells).collect();
        rows(&mut out, "", &params);
        let columns: Vec<[String; 3]> = (0..plan.columns.len())
            .map(|index| {
                let (name, postgres, json) = plan.columns.describe(index);
                [name.to_owned(), postgres, json]
            })
            .collect();
        rows(&mut out, "→ ", &columns);
    }
    out
}

/// What stands before a route, if it names anything of its own: each in words.
pub fn guard_words(api: &Api, route: &Route) -> Vec<String> {
    let limit = route.rate_limit.map(|index| {
        let rule = &api.guards.rate_limits[index];
        format!("rate limit {}", rule.name)
    });
    let schemes = route.auth.schemes.iter().copied().map(Scheme::as_str);
    let schemes: Vec<&str> = schemes.collect();
    let auth = (!schemes.is_empty()).then(|| format!("auth {}", schemes.join(" or ")));
    let claims = route.auth.require.iter().map(|it| it.claim.as_ref());
    let claims: Vec<&str> = claims.collect();
    let require = (!claims.is_empty()).then(|| format!("requires {}", claims.join(", ")));
    let role = route.database_role.as_ref().map(|role| match role {
        DatabaseRole::Fixed(role) => format!("as the role {role}"),
        DatabaseRole::Claim(claim) => format!("as the role that the claim {claim} says"),
    });
    [limit, auth, require, role].into_iter().flatten().collect()
}

/// Characters of the longest method and the two spaces after it are the indent of what belongs to a route.
const METHOD_WIDTH: usize = 6;

/// Rows of cells under a route, each column as wide as its widest cell.
fn rows<const N: usize>(out: &mut String, mark: &str, rows: &[[String; N]]) {
    let widths: [usize; N] =
        std::array::from_fn(|column| width(rows.iter().map(|row| row[column].as_str())));
    let indent = format!("{:METHOD_WIDTH$}  {mark}", "");
    for row in rows {
        let cells: [(&str, usize); N] =
            std::array::from_fn(|column| (row[column].as_str(), widths[column]));
        line(out, &indent, &cells);
    }
}

/// One line of cells, two spaces between them, none at the end.
fn line(out: &mut String, indent: &str, cells: &[(&str, usize)]) {
    let start = out.len();
    out.push_str(indent);
    for (cell, width) in cells {
        // Writing to a String can't fail.
        let _ = write!(out, "{cell:width$}  ");
    }
    out.truncate(start + out[start..].trim_end().len());
    out.push('\n');
}

fn width<'a>(cells: impl Iterator<Item = &'a str>) -> usize {
    cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
}

fn param_cells(param: &PlanParam) -> [String; 4] {
    let source = match (param.whole, param.external == param.name) {
        (true, _) => "whole body".to_owned(),
        (false, true) => param.source.as_str().to_owned(),
        (false, false) => format!("{} {}", param.source.as_str(), param.external),
    };
    let presence = match &param.default {
        Some(default) => format!("default {default}"),
        None if param.nullable => "optional".to_owned(),
        None => "required".to_owned(),
    };
    let mut settings = vec![presence];
    if param.nullable {
        settings.push("nullable".to_owned());
    }
    settings.extend(param.constraints.words());
    [
        param.name.clone(),
        source,
        param.type_name(),
        settings.join(", "),
    ]
}
