//! Second form of a route that names a stage or viewer in its path. It is the same call with the id
//! in the query.
//!
//! Proxies decode `%2F`, so an ARN in a path may arrive as two segments. A query arrives as it was
//! sent. Handlers read either form (`extract::StageParam`, `ViewerParam`). The description of one
//! form is made from that of the other.

use std::sync::Arc;

use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::Routes;
use crate::node::Node;

/// Prefixes of the routes that have a second form, with the prefix of that form.
const FORMS: [(&str, &str); 2] =
    [("/v1/stages/{stage}", "/v1/stage"), ("/v1/viewers/{viewer}", "/v1/viewer")];

/// Returns the query form of a path; `None` for a path that has only one form.
#[must_use]
pub fn path_by_query(path: &str) -> Option<String> {
    let by_query =
        |(begin, by_query): &(&str, &str)| Some(format!("{by_query}{}", path.strip_prefix(begin)?));
    FORMS.iter().find_map(by_query)
}

/// Makes a route in both forms, over the same handlers.
pub fn both_forms((schemas, paths, methods): UtoipaMethodRouter<Arc<Node>>) -> Routes {
    let mut by_query = paths.clone();
    by_query.paths =
        paths.paths.iter().filter_map(|(path, item)| second_form(path, item)).collect();
    let routes = OpenApiRouter::new().routes((schemas.clone(), paths, methods.clone()));
    routes.routes((schemas, by_query, methods))
}

fn second_form(path: &str, item: &PathItem) -> Option<(String, PathItem)> {
    let mut item = item.clone();
    let PathItem { get, post, patch, delete, .. } = &mut item;
    for (method, operation) in [("GET", get), ("POST", post), ("PATCH", patch), ("DELETE", delete)]
    {
        if let Some(operation) = operation {
            describe(operation, &format!("{method} {path}"));
        }
    }
    Some((path_by_query(path)?, item))
}

fn describe(operation: &mut Operation, first_form: &str) {
    operation.operation_id = operation.operation_id.take().map(|id| format!("{id}ByQuery"));
    operation.description = Some(format!(
        "The same call as `{first_form}`, for clients behind a proxy that decodes `%2F`."
    ));
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in == ParameterIn::Path
        {
            parameter.parameter_in = ParameterIn::Query;
            parameter.description = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_an_id_have_a_second_form() {
        for (path, expected) in [
            ("/v1/stages/{stage}", Some("/v1/stage")),
            ("/v1/stages/{stage}/viewers", Some("/v1/stage/viewers")),
            ("/v1/viewers/{viewer}/watch", Some("/v1/viewer/watch")),
            ("/v1/stages", None),
            ("/api/viewer/list/{stageArn}", None),
        ] {
            assert_eq!(path_by_query(path).as_deref(), expected, "{path}");
        }
    }
}
