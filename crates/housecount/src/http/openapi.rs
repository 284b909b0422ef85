//! The API for programs: OpenAPI 3.1, made from the handlers' own types by `utoipa`.

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::OpenApi;

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
    )
)]
pub struct Api;

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
