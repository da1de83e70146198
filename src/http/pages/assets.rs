//! The stylesheet and the icon, embedded. The stylesheet's path names its content, so browsers may keep it for ever.

use std::sync::LazyLock;

use actix_web::{HttpResponse, web};

use crate::domain::Digest;
use crate::http::error::ApiError;
use crate::templates::{FAVICON, STYLESHEET};

/// Where the icon is.
pub(crate) const ICON_PATH: &str = "/assets/favicon.svg";

static STYLESHEET_PATH: LazyLock<String> =
    LazyLock::new(|| format!("/assets/gatepost.{}.css", &Digest::of(STYLESHEET.as_bytes()).hex()[..12]));

/// Where the stylesheet is.
pub(crate) fn stylesheet_path() -> &'static str {
    &STYLESHEET_PATH
}

/// `GET /assets/{name}`
pub(crate) async fn asset(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let (kind, keep, body) = match name.as_str() {
        "favicon.svg" => ("image/svg+xml", "public, max-age=86400", FAVICON),
        name if STYLESHEET_PATH.ends_with(&format!("/{name}")) => {
            ("text/css; charset=utf-8", "public, max-age=31536000, immutable", STYLESHEET)
        }
        _ => return Err(ApiError::not_found()),
    };
    Ok(HttpResponse::Ok().content_type(kind).insert_header(("Cache-Control", keep)).body(body))
}

/// `GET /favicon.ico`: browsers ask for it without being told to.
pub(crate) async fn favicon() -> HttpResponse {
    super::see_other(ICON_PATH)
}
