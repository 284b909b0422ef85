//! `/docs`: the API to read and try in a browser, by Swagger UI, which is part of the binary.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use utoipa_swagger_ui::Config;

use super::error::Problem;
use super::headers;

/// The page's own address; its files lie below it.
pub async fn home() -> Redirect {
    Redirect::permanent("/docs/")
}

/// The page.
pub async fn index() -> Result<Response, Problem> {
    page("index.html")
}

/// A file of the page.
pub async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    page(&name)
}

fn page(name: &str) -> Result<Response, Problem> {
    let config = Config::from("/openapi.json").try_it_out_enabled(true).use_base_layout();
    // It fails for text that is none, and ours is.
    let file = utoipa_swagger_ui::serve(name, Arc::new(config)).ok().flatten();
    let file = file.ok_or_else(|| Problem::not_here(&format!("/docs/{name}")))?;
    let mut response = ([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response();
    headers::page(response.headers_mut(), headers::POLICY_OF_DOCS);
    Ok(response)
}
