//! The API reference as a page, made from the `OpenAPI` document.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::page;
use crate::http::error::ApiError;
use crate::http::extract::Viewer;
use crate::http::{Site, openapi};

/// `GET /docs`
pub(crate) async fn show(
    site: web::Data<Site>,
    http: HttpRequest,
    Viewer(viewer): Viewer,
) -> Result<HttpResponse, ApiError> {
    let context = openapi::reference()?;
    page(&site, &http, viewer.as_deref(), StatusCode::OK, ("docs", "API reference"), context)
}
