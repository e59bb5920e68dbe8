use super::super::load;
use super::super::tests::listed;

#[test]
fn settings_of_a_parameter() {
    let path_only = "a path parameter is always there";
    for (method, entry, fault) in [
        (
            "GET",
            "{ in = \"claim\" }",
            "8:12 in = \"claim\" needs to know who asks | add auth = \"jwt\" to the route",
        ),
        (
            "GET",
            "{ in = \"qurey\" }",
            "8:12 \"in\" must be \"path\", \"query\", \"body\", \"header\" or \"claim\" | did you mean \"query\"?",
        ),
        (
            "GET",
            "{ }",
            "8:1 parameter \"q\" does not say where it stands | in = \"query\", \"body\" or \"header\"",
        ),
        ("GET", "{ in = \"path\" }", "8:12 the path has no {q}"),
        ("GET", "{ in = \"body\" }", "8:12 a GET request has no body"),
        (
            "DELETE",
            "{ in = \"body\" }",
            "8:12 a DELETE request has no body",
        ),
        (
            "GET",
            "{ in = \"query\", min = 1 }",
            "8:21 unknown key \"min\" in parameter \"q\" | did you mean \"in\"?",
        ),
        (
            "GET",
            "{ in = \"query\", type = \"bigint\" }",
            "8:28 \"bigint\" is not a type that can be pinned | did you mean \"int8\"?",
        ),
        (
            "GET",
            "{ in = \"query\", type = \"txet[]\" }",
            "8:28 \"txet[]\" is not a type that can be pinned | did you mean \"text[]\"?",
        ),
        (
            "GET",
            "{ in = \"query\", type = \"geometry\" }",
            "8:28 \"geometry\" is not a type that can be pinned | one of int2 int4 int8 float4 float8 numeric bool text varchar uuid date time timetz timestamp timestamptz interval json jsonb bytea inet cidr macaddr, or an array of it (int8[]); or cast it in the SQL",
        ),
        (
            "GET",
            "{ in = \"query\", ge = 3, le = 2 }",
            "8:34 no number is at least 3 and at most 2",
        ),
        (
            "GET",
            "{ in = \"query\", ge = \"3\" }",
            "8:26 \"ge\" must be a number, not a string",
        ),
        (
            "GET",
            "{ in = \"query\", ge = nan }",
            "8:26 \"ge\" must be a number, not a float",
        ),
        (
            "GET",
            "{ in = \"query\", min_length = 3, max_length = 2 }",
            "8:50 no text has at least 3 and at most 2 characters",
        ),
        (
            "GET",
            "{ in = \"query\", min_length = -1 }",
            "8:34 \"min_length\" must be 0 to 4294967295",
        ),
        (
            "GET",
            "{ in = \"query\", pattern = \"(\" }",
            "8:31 \"pattern\" is not a regular expression: unclosed group",
        ),
        (
            "GET",
            "{ in = \"query\", enum = [] }",
            "8:28 \"enum\" must be a list of the values allowed",
        ),
        (
            "GET",
            "{ in = \"query\", enum = [[1]] }",
            "8:29 a value can't be an array here",
        ),
        (
            "GET",
            "{ in = \"query\", default = 0, ge = 1 }",
            "8:31 the default breaks the constraints: Input should be greater than or equal to 1",
        ),
        (
            "GET",
            "{ in = \"query\", default = \"abc\", max_length = 2 }",
            "8:31 the default breaks the constraints: String should have at most 2 characters",
        ),
        (
            "GET",
            "{ in = \"query\", default = \"c\", enum = [\"a\", \"b\"] }",
            "8:31 the default breaks the constraints: Input should be 'a' or 'b'",
        ),
        (
            "GET",
            "{ in = \"query\", default = { a = 1 } }",
            "8:31 a value can't be a table here",
        ),
        (
            "GET",
            "{ in = \"query\", nullable = 1 }",
            "8:32 \"nullable\" must be true or false, not an integer",
        ),
        (
            "GET",
            "{ in = \"query\", whole = true }",
            "8:29 \"whole\" is only for in = \"body\"",
        ),
        (
            "POST",
            "{ in = \"body\", whole = true, ge = 1 }",
            "8:1 the whole body is a JSON document, which has no constraints",
        ),
        (
            "GET",
            "{ in = \"query\", name = \"X\" }",
            "8:28 \"name\" is only for in = \"header\" and \"claim\"",
        ),
        (
            "GET",
            "{ in = \"header\", name = \"X Y\" }",
            "8:29 \"X Y\" can't name a header field (RFC 9110 §5.6.2)",
        ),
        (
            "GET",
            "7",
            "8:5 parameter \"q\" must be a table, not an integer",
        ),
    ] {
        let text = format!(
            "[[route]]\nname = \"r\"\nmethod = \"{method}\"\npath = \"/r\"\nresult = \"exec\"\nsql = \"select :q\"\n[route.params]\nq = {entry}\n"
        );
        assert_eq!(listed(&text), [fault], "{entry}");
    }
    for entry in ["{ default = 1 }", "{ nullable = true }"] {
        let text = format!(
            "[[route]]\nname = \"r\"\nmethod = \"GET\"\npath = \"/r/{{q}}\"\nresult = \"exec\"\nsql = \"select :q\"\n[route.params]\nq = {entry}\n"
        );
        let found = listed(&text);
        assert!(
            found.len() == 1 && found[0].contains(path_only),
            "{found:?}"
        );
    }
}

#[test]
fn parameters_and_sql_must_agree() {
    let route = |sql: &str, params: &str| {
        format!(
            "[[route]]\nname = \"r\"\nmethod = \"POST\"\npath = \"/r/{{id}}\"\nresult = \"exec\"\nsql = '{sql}'\n[route.params]\n{params}\n"
        )
    };
    assert_eq!(
        listed(&route("select :id, :limt", "limit = { in = \"query\" }")),
        [
            "6:20 \":limt\" is not declared | did you mean \":limit\"?",
            "8:1 unused parameter \"limit\" | use :limit in the SQL, or take the parameter out",
        ]
    );
    assert_eq!(
        listed(&route("select :id", "id = { in = \"query\" }")),
        ["8:13 \"id\" stands in the path, so it can't come from the query"]
    );
    assert_eq!(
        listed(&route(
            "select :id, :a, :b",
            "a = { in = \"body\", whole = true }\nb = { in = \"body\" }"
        )),
        ["9:1 \"a\" takes the whole body, so \"b\" can't be a member of it"]
    );
    assert_eq!(
        listed(&route("select :id", "\"a b\" = { in = \"query\" }")),
        ["8:1 \"a b\" can't name a parameter | names are ASCII letters, digits and _"]
    );
    let header = load(
        "a",
        &route(
            "select :id, :x_tenant_id, :b",
            "x_tenant_id = { in = \"header\" }\nb = { in = \"header\", name = \"X-B\" }",
        ),
    )
    .unwrap();
    let names: Vec<&str> = header.routes[0]
        .params
        .iter()
        .map(|param| param.external.as_str())
        .collect();
    assert_eq!(names, ["id", "x-tenant-id", "X-B"]);
}
