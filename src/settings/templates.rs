//! Where pages and mails of the operator's own are.

use std::path::PathBuf;

use super::reader::{Read, Reader};

/// The templates of pages and mails.
#[derive(Clone, Debug)]
pub struct Templates {
    /// A directory whose files replace the built-in ones of the same name.
    pub dir: Option<PathBuf>,
}

impl Templates {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let dir = reader.optional("templates.dir", "/etc/gatepost/templates", |text| {
            let path = PathBuf::from(text);
            if path.is_dir() { Ok(path) } else { Err("must be a directory that can be read".to_owned()) }
        })?;
        Ok(Self { dir })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};

    #[test]
    fn a_directory_has_to_be_there() {
        assert!(load(&[]).templates.dir.is_none());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        assert_eq!(load(&[("GATEPOST_TEMPLATES_DIR", &path)]).templates.dir.as_deref(), Some(dir.path()));
        assert_eq!(
            refused(&[("GATEPOST_TEMPLATES_DIR", "/nowhere")])[0].reason,
            "must be a directory that can be read"
        );
    }
}
