//! Names of [`keys`](super::keys) as they go to the server.
//!
//! A Redis Cluster spreads keys over its nodes by a hash of their names, and does nothing across nodes: no script with several keys,
//! no `MGET`, no pop from several lists. So there every name carries [`TAG`] in front, of which the hash is taken alone: all of
//! them are in one slot, and so on one node. Elsewhere a name goes out as it is.
//!
//! Only commands know of the tag. What instances tell each other, and what they hold in process, goes by the plain name.

use ::redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg};

use super::Redis;

/// In front of every name in a Cluster. Only a `{…}` that comes first is a hash tag: what braces a name has do not matter.
pub const TAG: &str = "{gatepost}:";

/// A name as an argument of a command.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    tag: &'static str,
    name: &'a [u8],
}

impl<'a> Key<'a> {
    /// `tag` is empty, or [`TAG`].
    pub(super) fn new(tag: &'static str, name: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { tag, name: name.as_ref() }
    }
}

impl ToRedisArgs for Key<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        if self.tag.is_empty() {
            out.write_arg(self.name);
        } else {
            out.write_arg(&[self.tag.as_bytes(), self.name].concat());
        }
    }
}

impl ToSingleRedisArg for Key<'_> {}

/// Several of them.
pub(super) struct Keys<'a, K>(pub(super) &'static str, pub(super) &'a [K]);

impl<K: AsRef<[u8]>> ToRedisArgs for Keys<'_, K> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        for name in self.1 {
            Key::new(self.0, name).write_redis_args(out);
        }
    }

    fn num_of_args(&self) -> usize {
        self.1.len()
    }
}

impl Redis {
    /// `name` as an argument of a command, and nothing else: [`Self::query`] and [`Self::pipeline`] send what they are given.
    /// The other typed calls take names, and see to this themselves.
    pub fn key<'a>(&self, name: &'a (impl AsRef<[u8]> + ?Sized)) -> Key<'a> {
        Key::new(self.tag(), name)
    }

    /// The name of a key that the server has told of.
    pub fn name<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(self.tag()).unwrap_or(key)
    }

    pub(super) fn tag(&self) -> &'static str {
        self.0.connector.tag()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::keys::MAIL_LISTS;

    #[test]
    fn a_name_goes_out_as_it_is_or_behind_the_tag() {
        assert_eq!(Key::new("", "user:id:7").to_redis_args(), [b"user:id:7"]);
        assert_eq!(Key::new(TAG, "user:id:7").to_redis_args(), [b"{gatepost}:user:id:7"]);
        let lists = Keys(TAG, &MAIL_LISTS);
        assert_eq!((lists.num_of_args(), lists.to_redis_args().len()), (4, 4));
        assert_eq!(lists.to_redis_args()[0], b"{gatepost}:{mail}:urgent");
        assert!(Keys::<String>(TAG, &[]).to_redis_args().is_empty());
    }
}
