//! How much users and sessions take in Redis. `GATEPOST_TEST_SIZES=1000,10000 cargo nextest run --test cache --no-capture
//! -E 'test(sizing)'` prints the table of docs/cache.md. More than a machine reads within the three minutes that a key
//! lives at least cannot be measured so.

use std::sync::Arc;
use std::time::Instant;

use gatepost::domain::{Digest, UserId};
use gatepost::settings;
use tokio::task::JoinSet;

use crate::world::{Backend, World};

/// Reads that are under way together.
const READERS: u32 = 16;

/// Accounts and their sessions, as ordinary as can be, made in one statement each.
async fn fill(world: &World, count: u32) {
    let series = format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})");
    world
        .execute(&format!(
            "{series} INSERT INTO users (id, email, email_key, abuse_key, name, locale, role, status, note, address, device,
                version, created_at, updated_at)
             SELECT ('01934f5e-7a10-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
                'ada.lovelace' || i || '@example.com', 'ada.lovelace' || i || '@example.com', 'x' || i, 'Ada Lovelace', 'en',
                'user', 'approved', '', '198.51.100.23', 'Firefox on Linux', 1, now() - interval '1 hour', now() - interval '1 hour' FROM n"
        ))
        .await;
    world
        .execute(&format!(
            "{series} INSERT INTO sessions (id, user_id, token_digest, method, address, device, version, created_at,
                updated_at, last_seen_at, expires_at)
             SELECT ('01934f5e-7a10-7000-9000-' || lpad(to_hex(i), 12, '0'))::uuid,
                ('01934f5e-7a10-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, sha256(i::text::bytea), 'code',
                '198.51.100.23', 'Firefox on Linux', 1, now() - interval '1 hour', now() - interval '1 hour', now(),
                now() + interval '1 day' FROM n"
        ))
        .await;
}

fn user(number: u32) -> UserId {
    UserId(uuid::Uuid::from_u128(0x0193_4f5e_7a10_7000_8000_0000_0000_0000 + u128::from(number)))
}

async fn used(world: &World) -> u64 {
    let memory: String = world.redis.ask(&["INFO", "memory"]).await;
    memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}

async fn usage(world: &World, key: &str) -> u64 {
    world.redis.ask::<Option<u64>>(&["MEMORY", "USAGE", key]).await.unwrap_or_else(|| panic!("{key} is not there"))
}

/// Bytes in Redis for a user and for a session, over the whole and of one key without its stamp, as an instance with or without
/// `memory` puts them there.
async fn measure(count: u32, memory: bool) -> [u64; 4] {
    let world = Arc::new(World::new(Backend::Postgres).await);
    fill(&world, count).await;
    let cache = world.instance_with(&settings::Cache { memory, ..settings::Cache::default() }).await;
    let mut used_memory = [used(&world).await, 0, 0];
    for (step, sessions) in [(1, false), (2, true)] {
        let mut readers = JoinSet::new();
        for reader in 0..READERS {
            let cache = cache.clone();
            readers.spawn(async move {
                for number in (reader..count).step_by(READERS as usize) {
                    if sessions {
                        let digest = Digest::of(number.to_string().as_bytes());
                        assert!(cache.session_by_token(digest).await.unwrap().is_some());
                    } else {
                        assert!(cache.user(user(number)).await.unwrap().is_some());
                    }
                }
            });
        }
        readers.join_all().await;
        used_memory[step] = used(&world).await;
    }
    let [before, users, sessions] = used_memory;
    let one_session = format!("session:{}", Digest::of((count - 1).to_string().as_bytes()).hex());
    let one = usage(&world, &format!("user:id:{}", user(count - 1))).await;
    let each = |from: u64, to: u64| to.saturating_sub(from) / u64::from(count);
    [each(before, users), one, each(users, sessions), usage(&world, &one_session).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_users_and_sessions_take_no_more_of_redis_than_the_manual_says() {
    let sizes = std::env::var("GATEPOST_TEST_SIZES").unwrap_or_else(|_| "1000".to_owned());
    eprintln!("memory  entries  user: of all  of one key  session: of all  of one key   seconds");
    for (size, memory) in sizes.split(',').flat_map(|size| [(size, true), (size, false)]) {
        let begun = Instant::now();
        let [users, user, sessions, session] = measure(size.trim().parse().unwrap(), memory).await;
        let took = begun.elapsed().as_secs();
        eprintln!("{memory:>6}  {size:>7}  {users:>12}  {user:>10}  {sessions:>15}  {session:>10}  {took:>8}");
        let beside = if memory { 0 } else { 300 };
        assert!(users <= 1024 + beside && sessions <= 1280 + beside, "more than docs/cache.md says");
    }
}
