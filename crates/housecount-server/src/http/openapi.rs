//! The API for programs: OpenAPI 3.1, made from the handlers' own types by `utoipa`.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use housecount_access::auth::{Policy, Scope};
use serde_json::{Value, json};
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::packed::PackedBody;
use crate::node::Node;

/// Parts of the document that no handler describes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "housecount",
        description = "Live audience counts. A count that may be incomplete is marked: every count comes with \
                       `asOf` (Unix ms), `complete` and `recovering`. Errors are RFC 9457 problems with a stable `code`."
    ),
    tags(
        (name = "players", description = "Calls of players"),
        (name = "operators", description = "Calls of dashboards and backends"),
        (name = "drop-in", description = "The common IVS viewer API, for front-ends that already use it"),
        (name = "operations", description = "Calls to operate a node")
    ),
    modifiers(&SecuritySchemes)
)]
pub struct Api;

/// A viewer's token.
pub const VIEWER_TOKEN: &[&str] = &["viewerToken"];
/// An operator's key, in either header.
pub const OPERATOR_KEY: &[&str] = &["operatorKey", "apiKey"];

/// Descriptions of the security schemes.
struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = |format: &str, text: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
            SecurityScheme::Http(scheme.description(Some(text)).build())
        };
        let token = "A JWT that the platform signs: `sub` is the viewer, `stage` the stage, or `stagePrefix` the prefix of its stages. Required \
                     where auth.viewer = required. Also accepted as the subprotocol `housecount.token.TOKEN` or ?token= of a WebSocket, or \"token\" in a body.";
        let key = "An operator key with the scope that the operation names. Required where auth.operator_keys is set. \
                   Without it, a node answers operators' calls to its own machine only.";
        let api_key = ApiKeyValue::with_description("x-api-key", key);
        let components = api.components.get_or_insert_default();
        components.add_security_scheme(VIEWER_TOKEN[0], bearer("JWT", token));
        components.add_security_scheme(OPERATOR_KEY[0], bearer("hck_", key));
        components
            .add_security_scheme(OPERATOR_KEY[1], SecurityScheme::ApiKey(ApiKey::Header(api_key)));
    }
}

/// Declares for every operation of these routes that it needs one of these schemes, with which
/// scope.
pub fn secured<S>(
    mut routes: OpenApiRouter<S>,
    schemes: &[&str],
    scope: Option<Scope>,
) -> OpenApiRouter<S>
where
    S: Send + Sync + Clone + 'static,
{
    let scopes: Vec<&str> = scope.map(Scope::name).into_iter().collect();
    for path in routes.get_openapi_mut().paths.paths.values_mut() {
        let PathItem { get, post, patch, delete, .. } = path;
        for operation in [get, post, patch, delete].into_iter().flatten() {
            let each = schemes.iter().map(|name| SecurityRequirement::new(*name, scopes.clone()));
            // No credential is needed where it is not switched on.
            operation.security = Some(each.chain([SecurityRequirement::default()]).collect());
        }
    }
    routes
}

/// Returns the document. Every response must have a description; where a handler gives none, it is
/// the name of the status.
pub fn text(api: &utoipa::openapi::OpenApi, node: &Node) -> String {
    let mut api = serde_json::to_value(api).unwrap_or_default();
    let paths = api["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations =
        paths.flat_map(|path| path.as_object_mut().into_iter().flat_map(|p| p.values_mut()));
    for operation in operations {
        if asks_nothing(operation, node) {
            operation["security"] = json!([]);
        }
        for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            if response.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
                let status = status.parse().ok().and_then(|s| StatusCode::from_u16(s).ok());
                response["description"] =
                    json!(status.and_then(|s| s.canonical_reason()).unwrap_or("Answer"));
            }
        }
    }
    name_wrapped_schemas(&mut api);
    rename_responses(&mut api);
    serde_json::to_string_pretty(&api).unwrap_or_default()
}

/// Answers with the document. Answers share its text: otherwise each client that reads slowly would
/// hold a copy.
pub fn answer(api: &PackedBody, asked: &HeaderMap) -> Response {
    api.answer(asked, "application/json")
}

/// Whether this node checks none of the credentials that a call names. Clients are then generated
/// without any. A generator treats a list that also allows a call without a credential as one that
/// demands a credential.
fn asks_nothing(operation: &Value, node: &Node) -> bool {
    let is_token_off = node.auth.viewers.policy() == Policy::Off;
    let is_key_off = !node.auth.operators.is_on() && node.auth.viewers.policy() != Policy::Required;
    operation["security"].as_array().into_iter().flatten().any(|scheme| {
        let is_batch = scheme[OPERATOR_KEY[0]][0] == Scope::Beats.name();
        is_token_off && !scheme[VIEWER_TOKEN[0]].is_null() || is_key_off && is_batch
    })
}

/// Start of a reference to a schema.
const SCHEMAS: &str = "#/components/schemas/";
/// Start of utoipa's name for a `Success<T>`, the drop-in API's successful answer. The name of `T`
/// follows.
const SUCCESS: &str = "Success_";

/// Refers to the data of the drop-in API's answers by name. utoipa repeats its schema in each
/// answer.
fn name_wrapped_schemas(api: &mut Value) {
    for (name, schema) in api["components"]["schemas"].as_object_mut().into_iter().flatten() {
        if let Some(data) = name.strip_prefix(SUCCESS) {
            schema["properties"]["data"] = json!({ "$ref": format!("{SCHEMAS}{data}") });
        }
    }
}

/// Renames every `Success_T`, and references to it, to `TResponse`.
fn rename_responses(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, mut value) in std::mem::take(object) {
                rename_responses(&mut value);
                object.insert(response_name(&key).unwrap_or(key), value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rename_responses),
        Value::String(text) => {
            let name = text.strip_prefix(SCHEMAS).and_then(response_name);
            if let Some(name) = name {
                *text = format!("{SCHEMAS}{name}");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the public name of the answer that wraps a schema.
fn response_name(name: &str) -> Option<String> {
    Some(format!("{}Response", name.strip_prefix(SUCCESS)?))
}
