//! The directory: what signed-in people see of each other, and what clients need not be sent again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Options, PROMISED, ROOT};
use crate::client::{Answer, Client};
use crate::support::eventually;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

async fn list(client: &Client, query: &str) -> Value {
    client.get(&format!("/api/users/list{query}")).await.expect(200).json()
}

/// The addresses in a list, in its order.
fn addresses(listed: &Value) -> Vec<&str> {
    listed["users"].as_array().expect("a list").iter().map(|user| user["email"].as_str().unwrap()).collect()
}

/// Asks again with the tag of the answer before.
async fn again(client: &Client, path: &str, tag: &str) -> Answer {
    client.send(client.request(Method::GET, path).header("if-none-match", tag)).await
}

on_both_setups! {
    async fn the_directory_is_for_those_who_are_signed_in(app: TestApp) {
        app.invite(ADA).await;
        for path in ["/api/users/list", "/api/users/ada@example.com", "/api/users/nobody@example.com", "/api/users/x"] {
            app.program().get(path).await.expect_problem(401, "unauthorized");
        }
    }

    async fn a_person_is_found_by_id_username_or_address(app: TestApp) {
        let ada = app.sign_in(ADA).await;
        let fields = json!({ "name": "Ada Lovelace", "username": "Ada.L", "phone": "+49301234567" });
        let own = ada.put("/api/profile", fields).await.expect(200).json();
        let bob = app.sign_in(BOB).await;
        let mut seen = own.clone();
        seen["phone"] = Value::Null;
        let id = app.user_id(ADA).await;
        for name in [id.as_str(), "ada.l", "ADA.L", ADA, "Ada@EXAMPLE.com"] {
            let path = format!("/api/users/{name}");
            assert_eq!(bob.get(&path).await.expect(200).json(), seen, "{name}");
            assert_eq!(ada.get(&path).await.expect(200).json(), own, "{name}: one's own number is shown");
            assert_eq!(app.admin().await.get(&path).await.expect(200).json(), own, "{name}");
        }
        let unknown = uuid::Uuid::from_u128(0x0193_4f00_0000_7000_8000_0000_0000_0001).to_string();
        for name in [unknown.as_str(), "nobody", "nobody@example.com", "x", "%00", "a%20b", "@", "+49301234567"] {
            bob.get(&format!("/api/users/{name}")).await.expect_problem(404, "not_found");
        }
    }

    async fn who_is_not_in_exists_for_admins_only(app: TestApp = Options::registration("approval").unlimited()) {
        for email in [ADA, BOB, "carol@example.com", "dan@example.com"] {
            app.register(email, "Somebody").await;
        }
        app.decide(BOB, "approve").await.expect(200);
        app.decide("carol@example.com", "reject").await.expect(200);
        app.decide("dan@example.com", "ban").await.expect(200);
        let (admin, bob) = (app.admin().await, app.sign_in(BOB).await);
        for (email, status) in [(ADA, "pending"), ("carol@example.com", "rejected"), ("dan@example.com", "banned")] {
            for name in [email.to_owned(), app.user_id(email).await] {
                bob.get(&format!("/api/users/{name}")).await.expect_problem(404, "not_found");
                assert_eq!(admin.get(&format!("/api/users/{name}")).await.expect(200).json()["status"], status);
            }
        }
        assert_eq!(addresses(&list(&bob, "").await), [ROOT, BOB], "the admin came later");
        assert_eq!(addresses(&list(&bob, "?search=carol").await), [""; 0]);
        let all = list(admin, "").await;
        assert_eq!(addresses(&all).len(), 5);
    }

    async fn the_list_comes_in_pages_and_can_be_searched(app: TestApp) {
        let ada = app.sign_in(ADA).await;
        ada.put("/api/profile", json!({ "username": "ada", "phone": "+49301234567" })).await.expect(200);
        for n in 0..5 {
            app.invite(&format!("user{n}@example.com")).await;
        }
        let (mut cursor, mut found) = (String::new(), Vec::new());
        loop {
            let page = list(&ada, &format!("?limit=2&cursor={cursor}")).await;
            found.extend(addresses(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            next.clone_into(&mut cursor);
        }
        let mut expected: Vec<String> = (0..5).rev().map(|n| format!("user{n}@example.com")).collect();
        expected.push(ADA.to_owned());
        assert_eq!(found, expected, "the admin has never signed in");
        for (query, expected) in [("?search=USER3", "user3@example.com"), ("?search=ada&limit=1", ADA)] {
            assert_eq!(addresses(&list(&ada, query).await), [expected], "{query}");
        }
        let numbers = |listed: Value| -> Vec<Value> {
            listed["users"].as_array().unwrap().iter().map(|user| user["phone"].clone()).collect()
        };
        assert_eq!(numbers(list(&ada, "?search=ada").await), [Value::Null], "a page is the same for everybody");
        assert_eq!(numbers(list(app.admin().await, "?search=ada").await), ["+49301234567"]);
        ada.get("/api/users/list?cursor=nonsense&search=%00").await.expect_wrong_fields(&["search", "cursor"]);
    }

    async fn many_are_looked_up_at_once_by_their_ids(app: TestApp = Options::default().unlimited()) {
        let ada = app.sign_in(ADA).await;
        ada.put("/api/profile", json!({ "phone": "+49301234567" })).await.expect(200);
        let bob = app.sign_in(BOB).await;
        app.invite("carol@example.com").await;
        app.decide("carol@example.com", "ban").await.expect(200);
        let (ada_id, bob_id, carol_id) =
            (app.user_id(ADA).await, app.user_id(BOB).await, app.user_id("carol@example.com").await);
        let unknown = uuid::Uuid::from_u128(0x0193_4f00_0000_7000_8000_0000_0000_0001);
        let path = format!("?ids={bob_id},{carol_id},{unknown},{ada_id},%20{bob_id}&limit=1");
        let listed = list(&bob, &path).await;
        assert_eq!((addresses(&listed), &listed["next_cursor"]), (vec![BOB, ADA], &Value::Null));
        assert_eq!(listed["users"][1]["phone"], Value::Null, "a number is not for everybody");
        let listed = list(app.admin().await, &path).await;
        assert_eq!(addresses(&listed), [BOB, "carol@example.com", ADA]);
        assert_eq!(listed["users"][2]["phone"], "+49301234567");
        // No more than may be asked for, and nothing else with it.
        let ids = |count: u128| (0..count).map(|n| uuid::Uuid::from_u128(n).to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(addresses(&list(&bob, &format!("?ids={},{ada_id}", ids(199))).await), [ADA]);
        assert_eq!(addresses(&list(&bob, "?ids=").await), [ROOT, BOB, ADA], "nothing is asked for by ids");
        for wrong in [ids(201), format!("{ada_id},"), "nonsense".to_owned(), format!("{ada_id}&search=ada")] {
            bob.get(&format!("/api/users/list?ids={wrong}")).await.expect_wrong_fields(&["ids"]);
        }
        // It is no older than what else is told.
        let path = format!("/api/users/list?ids={ada_id},{bob_id}");
        let tag = ada.get(&path).await.expect(200).header("etag").expect("a tag").to_owned();
        again(&ada, &path, &tag).await.expect(304);
        app.decide(BOB, "ban").await.expect(200);
        assert_eq!(addresses(&again(&ada, &path, &tag).await.expect(200).json()), [ADA]);
    }

    async fn what_a_client_has_is_not_sent_again(app: TestApp) {
        let ada = app.sign_in(ADA).await;
        let id = app.user_id(ADA).await;
        for path in ["/api/users/list".to_owned(), format!("/api/users/{id}")] {
            let first = ada.get(&path).await.expect(200);
            let tag = first.header("etag").expect("a tag").to_owned();
            assert!(tag.starts_with('"'), "{path}: {tag} is not strong");
            assert_eq!(first.header("cache-control"), Some("private, no-cache"), "{path}");
            assert_eq!(first.header("vary"), Some("Authorization, Cookie"), "{path}");
            assert_eq!(first.header("content-type"), Some("application/json"), "{path}");
            assert_eq!(ada.get(&path).await.header("etag"), Some(&*tag), "{path}");
            for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
                let answer = again(&ada, &path, &known).await.expect(304);
                assert_eq!((answer.body.as_str(), answer.header("etag")), ("", Some(&*tag)), "{path}: {known}");
            }
            for unknown in ["\"x\"", "x", "", "W/"] {
                assert_eq!(again(&ada, &path, unknown).await.expect(200).json(), first.json(), "{path}: {unknown}");
            }
            assert_eq!(ada.head(&path).await.expect(200).header("etag"), Some(&*tag), "{path}");
            ada.put("/api/profile", json!({ "name": format!("Ada of {path}") })).await.expect(200);
            let answer = again(&ada, &path, &tag).await.expect(200);
            assert_ne!(answer.header("etag"), Some(&*tag), "{path}");
            assert!(answer.body.contains("Ada of"), "{path}");
        }
    }

    async fn a_ban_is_seen_in_the_directory_at_once_and_by_every_instance(app: TestApp) {
        let (ada, other) = (app.sign_in(ADA).await, app.beside().await);
        let there = ada.at(&other);
        app.invite(BOB).await;
        for client in [&ada, &there] {
            let listed = async || addresses(&list(client, "").await).contains(&BOB).then_some(());
            eventually("the newcomer to be listed", PROMISED, listed).await;
        }
        app.decide(BOB, "ban").await.expect(200);
        assert!(!addresses(&list(&ada, "").await).contains(&BOB));
        ada.get(&format!("/api/users/{BOB}")).await.expect_problem(404, "not_found");
        let gone = async || {
            let found = there.get(&format!("/api/users/{BOB}")).await.status == 200;
            (!found && !addresses(&list(&there, "").await).contains(&BOB)).then_some(())
        };
        eventually("the other instance to follow", PROMISED, gone).await;
    }

    async fn who_becomes_an_admin_sees_more_and_who_was_one_less(app: TestApp) {
        let (admin, ada) = (app.admin().await, app.sign_in(ADA).await);
        admin.put("/api/profile", json!({ "phone": "+49301234567" })).await.expect(200);
        let path = format!("/api/users/{ROOT}");
        for (action, number) in [("promote", json!("+49301234567")), ("demote", Value::Null)] {
            assert_ne!(ada.get(&path).await.expect(200).json()["phone"], number);
            app.decide(ADA, action).await.expect(200);
            assert_eq!(ada.get(&path).await.expect(200).json()["phone"], number);
            assert_eq!(list(&ada, "?search=root").await["users"][0]["phone"], number);
        }
    }

    async fn the_figures_are_for_admins_and_count_everybody(app: TestApp = Options::registration("approval")) {
        app.register(ADA, "Ada").await;
        let admin = app.admin().await;
        let shown = admin.get("/api/admin/stats").await.expect(200);
        let stats = shown.json();
        assert_eq!(stats["users"]["total"], 2);
        assert_eq!(stats["users"]["by_status"], json!({ "pending": 1, "approved": 1, "rejected": 0, "banned": 0 }));
        assert_eq!(stats["users"]["by_role"], json!({ "user": 1, "admin": 1 }));
        assert_eq!(stats["users"]["active_admins"], 1);
        assert_eq!(stats["sessions"], json!({ "open": 1, "sign_ins_today": 1 }));
        let days = stats["registrations"].as_array().unwrap();
        assert_eq!((days.len(), &days[29]["count"]), (30, &json!(2)));
        assert_eq!(days[29]["day"].as_str().unwrap(), app.now().date_naive().to_string());
        for field in ["ready", "sending", "dead", "sent_today", "expired_today"] {
            assert!(stats["mail"][field].is_i64(), "{field}");
        }
        let tag = shown.header("etag").unwrap().to_owned();
        again(admin, "/api/admin/stats", &tag).await.expect(304);
        app.decide(ADA, "approve").await.expect(200);
        let anew = again(admin, "/api/admin/stats", &tag).await.expect(200).json();
        assert_eq!(anew["users"]["by_status"]["approved"], 2);
        let ada = app.sign_in(ADA).await;
        ada.get("/api/admin/stats").await.expect_problem(403, "forbidden");
        app.program().get("/api/admin/stats").await.expect_problem(401, "unauthorized");
    }
}
