//! Instances that start at the same moment, and how long a start takes.

use crate::person::Person;
use crate::setup::Setup;

#[tokio::test]
async fn two_instances_start_at_once_on_an_empty_database() {
    let setup = Setup::on_fresh_servers().await;
    let (mut one, mut two) = (setup.spawn(), setup.spawn());
    tokio::join!(one.wait_ready(), two.wait_ready());

    let ran = [&one, &two].map(|server| server.log().contains("migration(s)"));
    assert!(ran[0] != ran[1], "one of them ran the migrations:\n{}\n{}", one.log(), two.log());
    let client = setup.servers().database.client().await;
    let named = "SELECT count(*) FROM pg_tables WHERE tablename = 'outbox'";
    assert_eq!(client.query_one(named, &[]).await.unwrap().get::<_, i64>(0), 1, "one set of tables");
    let repeated = "SELECT count(*) - count(DISTINCT version) FROM __diesel_schema_migrations";
    assert_eq!(client.query_one(repeated, &[]).await.unwrap().get::<_, i64>(0), 0);

    // Asked of one, answered at the other, known to both.
    let person = Person::new("ann@example.com");
    let challenge = person.ask(&one).await;
    let code = setup.next_code_to(&one, &person.email).await.code().unwrap();
    person.answer(&two, &challenge, &code, "cookie").await;
    assert!(person.is_known(&one).await && person.is_known(&two).await);
    assert_eq!(person.post(&one, "/api/auth/logout", &serde_json::Value::Null).await.status(), 204);
    assert!(!person.is_known(&two).await);
}

/// A figure for whoever reads the output; machines differ too much to judge it here.
#[tokio::test]
async fn how_long_a_start_takes() {
    for (name, setup) in ["embedded", "on servers"].into_iter().zip(Setup::both().await) {
        for state in ["first", "second"] {
            let mut server = setup.spawn();
            let took = server.wait_ready().await;
            eprintln!("{name}, {state} start: ready after {took:?}");
            server.kill();
        }
    }
}
