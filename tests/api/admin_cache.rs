//! The cache in figures, and what admins have it forget.

use serde_json::json;

use crate::app::Setup;
use crate::mail_steering::audited;
use crate::pages::Form;

on_both_setups! {
    async fn an_admin_sees_the_tiers_in_figures(app: TestApp) {
        let browser = app.sign_in("ada@example.com").await;
        for _ in 0..5 {
            assert!(browser.is_signed_in().await);
        }
        let figures = app.admin().await.get("/api/admin/cache").await.expect(200).json();
        let servers = app.setup == Setup::Servers;
        let (memory, redis) = (&figures["tiers"]["memory"], &figures["tiers"]["redis"]);
        assert_eq!((&memory["enabled"], &memory["max_bytes"]), (&json!(true), &json!(64 * 1024 * 1024)));
        assert_eq!((&redis["enabled"], &redis["available"]), (&json!(servers), &json!(servers)));
        assert_eq!(redis["keys"].as_u64().is_some_and(|keys| keys > 0), servers, "{figures}");
        assert_eq!((&redis["user_ttl"], &redis["address_ttl"], &redis["session_ttl"]), (&json!(300), &json!(1800), &json!(300)));
        assert!(figures["stats"]["sessions"]["memory"]["hits"].as_u64() >= Some(4), "{figures}");
    }

    async fn an_admin_has_the_cache_forget(app: TestApp) {
        let browser = app.sign_in("ada@example.com").await;
        assert!(browser.is_signed_in().await);
        let admin = app.admin().await;
        let answer = admin.post("/api/admin/cache/invalidate", json!({ "prefix": "sessions" })).await.expect(200).json();
        assert_eq!((&answer["prefix"], &answer["everywhere"]), (&json!("sessions"), &json!(true)));
        assert_eq!(answer["removed"].as_u64().is_some_and(|removed| removed > 0), app.setup == Setup::Servers);
        let prefix = "user:email:ada@";
        admin.post("/api/admin/cache/invalidate", json!({ "prefix": prefix })).await.expect(200);
        assert!(browser.is_signed_in().await, "what is forgotten is read again");
        assert_eq!(audited(&app, "cache.invalidated").await, ["sessions", prefix]);
    }

    async fn what_the_cache_does_not_hold_cannot_be_named(app: TestApp) {
        let admin = app.admin().await;
        for body in [json!({}), json!({ "prefix": "" }), json!({ "prefix": "{mail}:" }), json!({ "prefix": "*" })] {
            admin.post("/api/admin/cache/invalidate", body).await.expect_wrong_fields(&["prefix"]);
        }
        assert_eq!(audited(&app, "cache.invalidated").await, Vec::<String>::new());
    }

    async fn the_cache_is_for_admins(app: TestApp) {
        let (user, nobody) = (app.sign_in("bob@example.com").await, app.program());
        let body = json!({ "prefix": "all" });
        user.get("/api/admin/cache").await.expect_problem(403, "forbidden");
        user.post("/api/admin/cache/invalidate", body.clone()).await.expect_problem(403, "forbidden");
        nobody.get("/api/admin/cache").await.expect_problem(401, "unauthorized");
        nobody.post("/api/admin/cache/invalidate", body).await.expect_problem(401, "unauthorized");
        user.form("/admin/cache/invalidate", &[("prefix", "all")]).await.expect_page(403);
        let admin = app.admin().await.with_origin("https://evil.example");
        admin.form("/admin/cache/invalidate", &[("prefix", "all")]).await.expect_page(403);
    }

    async fn the_page_shows_the_cache_and_has_it_forget(app: TestApp) {
        let admin = app.admin().await;
        let page = admin.page("/admin?status=approved").await.expect_page(200);
        assert!(page.body.contains("Answered without the database"), "{}", page.body);
        assert_eq!(page.body.contains("Sessions: by Redis"), app.setup == Setup::Servers);
        let answer = Form::of(&page, "/admin/cache/invalidate").submit(admin).await.expect(303);
        let page = admin.page(answer.location()).await.expect_page(200);
        assert!(page.body.contains("Forgotten on every server"), "{}", page.body);
        assert!(page.body.contains("People who are approved"), "the admin is where the button was");
        assert_eq!(audited(&app, "cache.invalidated").await, ["all"]);
        let unknown = admin.form("/admin/cache/invalidate", &[("prefix", "rate:")]).await.expect(303);
        assert_eq!(unknown.location(), "/admin?notice=cache-unknown");
    }
}

on_servers! {
    async fn without_redis_the_admin_is_told_that_only_this_server_forgets(app: TestApp) {
        let admin = app.admin().await;
        app.kill_redis().await;
        let figures = admin.get("/api/admin/cache").await.expect(200).json();
        let redis = &figures["tiers"]["redis"];
        assert_eq!((&redis["enabled"], &redis["available"], &redis["latency_ms"]), (&json!(true), &json!(false), &json!(null)));
        let answer = admin.post("/api/admin/cache/invalidate", json!({ "prefix": "all" })).await.expect(200).json();
        assert_eq!(answer, json!({ "prefix": "all", "removed": 0, "everywhere": false }));
        let answer = admin.form("/admin/cache/invalidate", &[("prefix", "all")]).await.expect(303);
        assert_eq!(answer.location(), "/admin?notice=cache-forgotten-here");
        let page = admin.page(answer.location()).await.expect_page(200);
        assert!(page.body.contains("only this server has forgotten") && page.body.contains("Redis is away"), "{}", page.body);
    }
}
