//! The shop's routes as far as the peers have them: the statements of `src/demo/shop.toml`, the rows
//! as serde types, and a client that pipelines.

use jiff::Timestamp;
use jiff::tz::Offset;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use crate::failure::{Detail, Failure, database};

/// The body of `GET /health`.
pub const HEALTH: &[u8] = br#"{"status":"ok"}"#;

pub const NOT_FOUND: Failure = Failure::NotFound("Not found");
pub const USER_NOT_FOUND: Failure = Failure::NotFound("User not found");

pub const USER: &str = "
select user_id, username, email, extract(epoch from last_active)::float8 as last_active
  from users
 where user_id = $1 and deleted_at is null";

pub const PRODUCTS: &str = "
select product_id, name, category, price, created_at
  from products
 where product_id > $1
   and ($2::text is null or category = $2)
   and ($3::numeric is null or price >= $3)
   and ($4::numeric is null or price <= $4)
 order by product_id
 limit $5";

pub const AGENTS: &str = "
select agent_id, tenants.name as tenant, agents.name, model, status, capabilities, config, created_at
  from agents join tenants using (tenant_id)
 where ($1::text is null or tenants.name = $1)
   and ($2::text is null or status = $2)
 order by agent_id";

const STATUSES: [&str; 3] = ["idle", "busy", "offline"];

// ---- parameters ----

/// The `user_id` of a path.
pub fn user_id(text: &str) -> Result<i64, Failure> {
    text.parse().map_err(|_| {
        let msg = "Input should be a valid integer".to_owned();
        Failure::Invalid(Detail {
            loc: &["path", "user_id"],
            msg,
            kind: "int_parsing",
        })
    })
}

/// The query parameters of `GET /products`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductsQuery {
    pub category: Option<String>,
    pub min_price: Option<Decimal>,
    pub max_price: Option<Decimal>,
    #[serde(default)]
    pub after: i64,
    #[serde(default = "default_limit")]
    pub limit: i64,
}

fn default_limit() -> i64 {
    50
}

impl ProductsQuery {
    pub fn parse(query: &str) -> Result<ProductsQuery, Failure> {
        let parsed: ProductsQuery = serde_urlencoded::from_str(query).map_err(invalid_query)?;
        let negative = |price: Option<Decimal>| price.is_some_and(|price| price < Decimal::ZERO);
        if !(1..=500).contains(&parsed.limit) {
            return Err(invalid_query("limit: should be between 1 and 500"));
        }
        if parsed.after < 0 || negative(parsed.min_price) || negative(parsed.max_price) {
            return Err(invalid_query("should be greater than or equal to 0"));
        }
        Ok(parsed)
    }

    /// In the order of the placeholders of `PRODUCTS`.
    pub fn bindings(&self) -> [&(dyn ToSql + Sync); 5] {
        let ProductsQuery {
            category,
            min_price,
            max_price,
            after,
            limit,
        } = self;
        [after, category, min_price, max_price, limit]
    }
}

/// The query parameters of `GET /api/v1/agents`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentsQuery {
    pub tenant: Option<String>,
    pub status: Option<String>,
}

impl AgentsQuery {
    pub fn parse(query: &str) -> Result<AgentsQuery, Failure> {
        let parsed: AgentsQuery = serde_urlencoded::from_str(query).map_err(invalid_query)?;
        match &parsed.status {
            Some(status) if !STATUSES.contains(&status.as_str()) => Err(invalid_query(
                "status: should be 'idle', 'busy' or 'offline'",
            )),
            _ => Ok(parsed),
        }
    }

    /// In the order of the placeholders of `AGENTS`.
    pub fn bindings(&self) -> [&(dyn ToSql + Sync); 2] {
        [&self.tenant, &self.status]
    }
}

fn invalid_query(error: impl std::fmt::Display) -> Failure {
    Failure::Invalid(Detail {
        loc: &["query"],
        msg: error.to_string(),
        kind: "value_error",
    })
}

// ---- rows; their strings are borrowed from Postgres' answer ----

#[derive(Serialize)]
pub struct User<'a> {
    pub user_id: i64,
    pub username: &'a str,
    pub email: &'a str,
    /// Unix time in seconds
    pub last_active: Option<f64>,
}

#[derive(Serialize)]
pub struct Product<'a> {
    pub product_id: i64,
    pub name: &'a str,
    pub category: &'a str,
    /// A JSON number with the digits that Postgres has
    #[serde(with = "rust_decimal::serde::arbitrary_precision")]
    pub price: Decimal,
    #[serde(serialize_with = "with_offset")]
    pub created_at: Timestamp,
}

#[derive(Serialize)]
pub struct Agent<'a> {
    pub agent_id: Uuid,
    pub tenant: &'a str,
    pub name: &'a str,
    pub model: &'a str,
    pub status: &'a str,
    pub capabilities: Vec<&'a str>,
    /// jsonb as Postgres prints it
    pub config: &'a RawValue,
    #[serde(serialize_with = "with_offset")]
    pub created_at: Timestamp,
}

/// `2024-01-01T00:20:00+00:00`
fn with_offset<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.display_with_offset(Offset::UTC))
}

pub fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(database)
}

/// The body of one user.
pub fn user_json(row: &Row) -> Result<Vec<u8>, Failure> {
    let user = || {
        Ok::<_, Error>(User {
            user_id: row.try_get(0)?,
            username: row.try_get(1)?,
            email: row.try_get(2)?,
            last_active: row.try_get(3)?,
        })
    };
    to_json(&user().map_err(database)?)
}

/// The body of a page of products.
pub fn products_json(rows: &[Row]) -> Result<Vec<u8>, Failure> {
    let product = |row| -> Result<Product<'_>, Error> {
        let row: &Row = row;
        Ok(Product {
            product_id: row.try_get(0)?,
            name: row.try_get(1)?,
            category: row.try_get(2)?,
            price: row.try_get(3)?,
            created_at: row.try_get(4)?,
        })
    };
    let products: Result<Vec<_>, _> = rows.iter().map(product).collect();
    to_json(&products.map_err(database)?)
}

/// The body of the agents.
pub fn agents_json(rows: &[Row]) -> Result<Vec<u8>, Failure> {
    let agent = |row| -> Result<Agent<'_>, Error> {
        let row: &Row = row;
        let Json(config) = row.try_get(6)?;
        Ok(Agent {
            agent_id: row.try_get(0)?,
            tenant: row.try_get(1)?,
            name: row.try_get(2)?,
            model: row.try_get(3)?,
            status: row.try_get(4)?,
            capabilities: row.try_get(5)?,
            config,
            created_at: row.try_get(7)?,
        })
    };
    let agents: Result<Vec<_>, _> = rows.iter().map(agent).collect();
    to_json(&agents.map_err(database)?)
}

// ---- the pipelining client ----

/// One connection of tokio-postgres that any number of requests share: the driver sends what is
/// queued in one write and gives each answer to whom it belongs.
pub struct Shop {
    client: Client,
    user: Statement,
    products: Statement,
    agents: Statement,
}

impl Shop {
    /// Prepares the statements; the connection's driver must already run.
    pub async fn prepare(client: Client) -> Result<Shop, Error> {
        Ok(Shop {
            user: client.prepare(USER).await?,
            products: client.prepare(PRODUCTS).await?,
            agents: client.prepare(AGENTS).await?,
            client,
        })
    }

    /// `GET /users/{user_id}`
    pub async fn user(&self, user_id: &str) -> Result<Vec<u8>, Failure> {
        let user_id = self::user_id(user_id)?;
        let row = self.client.query_opt(&self.user, &[&user_id]).await;
        user_json(&row.map_err(database)?.ok_or(USER_NOT_FOUND)?)
    }

    /// `GET /products?…`
    pub async fn products(&self, query: &str) -> Result<Vec<u8>, Failure> {
        let page = ProductsQuery::parse(query)?;
        let rows = self.client.query(&self.products, &page.bindings()).await;
        products_json(&rows.map_err(database)?)
    }

    /// `GET /api/v1/agents?…`
    pub async fn agents(&self, query: &str) -> Result<Vec<u8>, Failure> {
        let wanted = AgentsQuery::parse(query)?;
        let rows = self.client.query(&self.agents, &wanted.bindings()).await;
        agents_json(&rows.map_err(database)?)
    }
}
