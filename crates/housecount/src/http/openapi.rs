//! The API for programs: OpenAPI 3.1, made from the handlers' own types by `utoipa`.

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use crate::auth::Scope;

/// What isn't said at a handler.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "housecount",
        description = "Live audience counts that are never wrong without saying so. Every count comes with \
                       `asOf` (Unix ms), `complete` and `recovering`. Errors are RFC 9457 problems with a stable `code`."
    ),
    tags(
        (name = "players", description = "What players send"),
        (name = "operators", description = "What dashboards and backends ask"),
        (name = "drop-in", description = "The common IVS viewer API, for front-ends that already speak it"),
        (name = "operations", description = "What keeps it running")
    ),
    modifiers(&Schemes)
)]
pub struct Api;

/// A viewer's token.
pub const VIEWER_TOKEN: &[&str] = &["viewerToken"];
/// An operator's key, in either header.
pub const OPERATOR_KEY: &[&str] = &["operatorKey", "apiKey"];

/// What the schemes are.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = |format: &str, text: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
            SecurityScheme::Http(scheme.description(Some(text)).build())
        };
        let token = "A JWT that the platform signs: `sub` is the viewer, `stage` the stage, or `stagePrefix` how stages begin. Needed \
                     where auth.viewer = required; also as ?token= of a WebSocket, or \"token\" in a body.";
        let key = "An operator key with the scope that the operation names. Needed where auth.operator_keys is set; \
                   without it, operators' calls are answered to the node's own machine only.";
        let api_key = ApiKeyValue::with_description("x-api-key", key);
        let components = api.components.get_or_insert_default();
        components.add_security_scheme(VIEWER_TOKEN[0], bearer("JWT", token));
        components.add_security_scheme(OPERATOR_KEY[0], bearer("hck_", key));
        components.add_security_scheme(OPERATOR_KEY[1], SecurityScheme::ApiKey(ApiKey::Header(api_key)));
    }
}

/// Says of every operation of these routes that one of these schemes is asked for, and of which scope.
pub fn secured<S>(mut routes: OpenApiRouter<S>, schemes: &[&str], scope: Option<Scope>) -> OpenApiRouter<S>
where
    S: Send + Sync + Clone + 'static,
{
    let scopes: Vec<&str> = scope.map(Scope::name).into_iter().collect();
    for path in routes.get_openapi_mut().paths.paths.values_mut() {
        let PathItem { get, post, patch, delete, .. } = path;
        for operation in [get, post, patch, delete].into_iter().flatten() {
            let each = schemes.iter().map(|name| SecurityRequirement::new(*name, scopes.clone()));
            // Nothing is needed where it isn't switched on.
            operation.security = Some(each.chain([SecurityRequirement::default()]).collect());
        }
    }
    routes
}

/// The document. Every response must have a description; where a handler gives none, its status says it all.
pub fn text(api: &utoipa::openapi::OpenApi) -> String {
    let mut api = serde_json::to_value(api).unwrap_or_default();
    let paths = api["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.flat_map(|path| path.as_object_mut().into_iter().flat_map(|p| p.values_mut()));
    for operation in operations {
        for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            if response.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
                let status = status.parse().ok().and_then(|s| StatusCode::from_u16(s).ok());
                response["description"] =
                    json!(status.and_then(|s| s.canonical_reason()).unwrap_or("Answer"));
            }
        }
    }
    serde_json::to_string_pretty(&api).unwrap_or_default()
}
