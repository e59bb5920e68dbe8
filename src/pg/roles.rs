//! The roles that statements run as: whether the login role may become them, and whether row-level security
//! holds for them at all.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::api::Api;

/// Postgres asks the privilege SET of a role since version 16, and membership before.
const QUESTION: &str = "
select name, pg_catalog.current_setting('server_version_num')::int4,
       oid is not null,
       coalesce(pg_catalog.pg_has_role(session_user, oid, privilege), false)
  from pg_catalog.unnest($1) with ordinality as asked(name, place)
  left join pg_catalog.pg_roles on rolname = name,
       (select case when pg_catalog.current_setting('server_version_num')::int4 < 160000
                    then 'MEMBER' else 'SET' end) as version(privilege)
 order by place";

/// Why statements can't run as these roles; mostly nothing.
pub(super) async fn faults(client: &Client, roles: &[String]) -> Result<Vec<String>, Error> {
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed(QUESTION, &[(&roles, Type::TEXT_ARRAY)])
        .await?;
    let mut faults = Vec::new();
    for row in &rows {
        let (name, there, may): (&str, bool, bool) = (row.get(0), row.get(2), row.get(3));
        match (there, may) {
            (true, true) => {}
            (true, false) => {
                faults.push(format!("the login role can't become the role \"{name}\""));
            }
            (false, _) => faults.push(format!("the role \"{name}\" does not exist")),
        }
    }
    if let [row, _, ..] = &rows[..]
        && let version = row.get(1)
        && let Some(mended) = mended_in(version)
    {
        let version = words(version);
        faults.push(format!(
            "Postgres {version} uses a plan that was made for one role for another one \
             (CVE-2024-10976), which is mended in {mended}"
        ));
    }
    Ok(faults)
}

/// Where plans are kept that should not be: a SQL function that is inlined hides from Postgres that a plan
/// depends on the role for which it was made. Statements run as several roles on one connection here.
fn mended_in(version: i32) -> Option<String> {
    let first = match version / 10_000 {
        14 => 140_014,
        15 => 150_009,
        16 => 160_005,
        17 => 170_001,
        _ => return None,
    };
    (version < first).then(|| words(first))
}

fn words(version: i32) -> String {
    format!("{}.{}", version / 10_000, version % 10_000)
}

/// For which tables with policies the policies don't hold: all of them where the role is above them, its own
/// where it is not made to keep to them (`force row level security`).
const EXEMPT: &str = "
select rolname::text, rolsuper, rolbypassrls, count(*),
       pg_catalog.string_agg(c.oid::pg_catalog.regclass::text, ', ' order by c.oid)
           filter (where place <= 3)
  from pg_catalog.pg_roles as r,
       lateral (
           select oid, row_number() over (order by oid) as place
             from pg_catalog.pg_class
            where relkind in ('r', 'p') and relrowsecurity
              and (rolsuper or rolbypassrls
                   or not relforcerowsecurity and pg_catalog.pg_has_role(r.oid, relowner, 'USAGE'))
       ) as c
 where rolname = any ($1) or $2 and rolname = session_user
 group by 1, 2, 3
 order by 1";

/// What is worth a warning of the roles that the routes' statements run as.
pub async fn warnings(client: &Client, api: &Api) -> Result<Vec<String>, Error> {
    let transactions = || api.routes.iter().filter_map(|it| it.transaction.as_ref());
    if transactions().next().is_none() {
        return Ok(Vec::new());
    }
    let as_login = transactions().any(|transaction| transaction.roles.is_empty());
    let mut roles: Vec<&str> = transactions()
        .flat_map(|transaction| transaction.roles.iter().map(String::as_str))
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&roles, Type::TEXT_ARRAY), (&as_login, Type::BOOL)];
    let rows = client.query_typed(EXEMPT, &parameters).await?;
    let warnings = rows.iter().map(|row| {
        let (name, superuser, bypasses): (&str, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let (count, tables): (i64, &str) = (row.get(3), row.get(4));
        let why = match (superuser, bypasses) {
            (true, _) => "is a superuser",
            (false, true) => "has BYPASSRLS",
            (false, false) => "owns them",
        };
        let more = match count {
            0..=3 => String::new(),
            _ => format!(" and {} more", count - 3),
        };
        format!("policies don't hold for the role \"{name}\", as it {why}: those of {tables}{more}")
    });
    Ok(warnings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_mix_up_plans_are_known() {
        let mended = |version| mended_in(version);
        assert_eq!(mended(160_004).as_deref(), Some("16.5"));
        assert_eq!(mended(140_013).as_deref(), Some("14.14"));
        assert_eq!(mended(150_008).as_deref(), Some("15.9"));
        assert_eq!(mended(170_000).as_deref(), Some("17.1"));
        for version in [
            140_014, 150_009, 160_005, 170_001, 170_010, 180_000, 190_000,
        ] {
            assert_eq!(mended(version), None);
        }
    }
}
