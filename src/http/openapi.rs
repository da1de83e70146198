//! The `OpenAPI` document of the API, and its reading for people.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::error::ApiError;

/// `GET /openapi.json`
pub(super) async fn document() -> HttpResponse {
    HttpResponse::Ok().json(json!({}))
}

/// What the page `/docs` shows.
pub(super) fn reference() -> Result<Value, ApiError> {
    Ok(json!({}))
}
