"""What Pinion's users run today: FastAPI and asyncpg, each request with its own statement timeout.

Return types are Pydantic models, which FastAPI validates and turns into JSON bytes on the Rust side;
the headers are set by a pure ASGI middleware, which costs less than `@app.middleware("http")`.
"""

import contextlib
import json
import os
import time
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import asyncpg
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from pydantic import BaseModel, PlainSerializer
from starlette.exceptions import HTTPException as StarletteHTTPException

ACQUIRE_SECONDS_MAX = 10
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
]

USER = """
select user_id, username, email, extract(epoch from last_active)::float8 as last_active
  from users
 where user_id = $1 and deleted_at is null"""

PRODUCTS = """
select product_id, name, category, price, created_at
  from products
 where product_id > $1
   and ($2::text is null or category = $2)
   and ($3::numeric is null or price >= $3)
   and ($4::numeric is null or price <= $4)
 order by product_id
 limit $5"""

AGENTS = """
select agent_id, tenants.name as tenant, agents.name, model, status, capabilities, config, created_at
  from agents join tenants using (tenant_id)
 where ($1::text is null or tenants.name = $1)
   and ($2::text is null or status = $2)
 order by agent_id"""

# As Pinion prints it, with "+00:00" where Pydantic by itself has "Z".
Timestamp = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str)]


class Health(BaseModel):
    status: str


class User(BaseModel):
    user_id: int
    username: str
    email: str
    last_active: float | None


class Product(BaseModel):
    product_id: int
    name: str
    category: str
    price: float  # a Decimal would become a JSON string
    created_at: Timestamp


class Agent(BaseModel):
    agent_id: uuid.UUID
    tenant: str
    name: str
    model: str
    status: str
    capabilities: list[str]
    config: dict[str, Any]
    created_at: Timestamp


@contextlib.asynccontextmanager
async def lifespan(app):
    pool_size = int(os.environ["POOL_SIZE"])
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"],
        min_size=pool_size,
        max_size=pool_size + int(os.environ["MAX_OVERFLOW"]),
        init=decode_jsonb,
    ) as app.state.pool:
        yield


async def decode_jsonb(connection):
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


class Headers:
    """X-Request-ID, X-Process-Time and the security headers."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start = time.perf_counter()
        request_id = str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                process_time = f"{time.perf_counter() - start:.6f}"
                message["headers"] = [
                    *message["headers"], *SECURITY_HEADERS,
                    (b"x-request-id", request_id.encode()),
                    (b"x-process-time", process_time.encode()),
                ]
            await send(message)

        await self.app(scope, receive, send_with_headers)


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example.com"],
                   allow_methods=["GET", "POST"], allow_headers=["*"])
app.add_middleware(Headers)


@contextlib.asynccontextmanager
async def database():
    async with app.state.pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
        await connection.execute("SET statement_timeout = 500")
        yield connection


@app.get("/health")
async def health() -> Health:
    return Health(status="ok")


@app.get("/users/{user_id}")
async def get_user(user_id: int) -> User:
    async with database() as connection:
        row = await connection.fetchrow(USER, user_id)
    if row is None:
        raise HTTPException(404, "User not found")
    return dict(row)


@app.get("/products")
async def list_products(
    category: Annotated[str | None, Query(max_length=50)] = None,
    min_price: Annotated[Decimal | None, Query(ge=0)] = None,
    max_price: Annotated[Decimal | None, Query(ge=0)] = None,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[Product]:
    async with database() as connection:
        rows = await connection.fetch(PRODUCTS, after, category, min_price, max_price, limit)
    return [dict(row) for row in rows]


@app.get("/api/v1/agents")
async def list_agents(
    tenant: str | None = None,
    status: Literal["idle", "busy", "offline"] | None = None,
) -> list[Agent]:
    async with database() as connection:
        rows = await connection.fetch(AGENTS, tenant, status)
    return [dict(row) for row in rows]


@app.exception_handler(StarletteHTTPException)
async def http_fault(request: Request, fault: StarletteHTTPException):
    return failure(request, fault.status_code, fault.detail)


@app.exception_handler(RequestValidationError)
async def validation_fault(request: Request, fault: RequestValidationError):
    details = [{key: error[key] for key in ("loc", "msg", "type")} for error in fault.errors()]
    return failure(request, 422, "Validation failed", details=details)


@app.exception_handler(asyncpg.DataError)
async def data_fault(request: Request, fault: asyncpg.DataError):
    return failure(request, 422, "Validation failed")  # an integer that int8 cannot hold


@app.exception_handler(Exception)
async def internal_fault(request: Request, fault: Exception):
    return failure(request, 500, "Internal server error")


def failure(request, code, error, **more):
    body = {"error": error, "code": code, "request_id": request.state.request_id, **more}
    return JSONResponse(body, status_code=code)
