//! What load balancers, operators and developers ask.

use serde_json::{Value, json};

use crate::app::{ROOT, SOON, Setup};
use crate::support::eventually;

on_both_setups! {
    async fn the_process_says_that_it_is_up(app: TestApp) {
        for path in ["/health", "/health/live"] {
            let answer = app.program().get(path).await.expect(200).json();
            assert_eq!(answer, json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }), "{path}");
        }
    }

    async fn the_server_says_that_it_is_ready(app: TestApp) {
        let (database, redis) = match app.setup {
            Setup::Embedded => ("sqlite", "none"),
            Setup::Servers => ("postgres", "up"),
        };
        let expected = json!({ "status": "ok", "checks": { "database": database, "redis": redis } });
        assert_eq!(app.program().get("/health/ready").await.expect(200).json(), expected);
    }

    async fn the_cache_tells_how_it_does(app: TestApp) {
        let browser = app.sign_in("ada@example.com").await;
        for _ in 0..5 {
            assert!(browser.is_signed_in().await);
        }
        let health = app.program().get("/health/cache").await.expect(200).json();
        let servers = app.setup == Setup::Servers;
        assert_eq!(health["status"], "healthy");
        assert_eq!(health["backend"], if servers { "redis" } else { "memory" });
        assert_eq!(health["latency_ms"].as_f64().expect("a number") > 0.0, servers);
        let stats = &health["stats"];
        assert!(stats["hits"].as_u64().expect("a number") >= 4, "{stats}");
        assert!(stats["misses"].is_u64() && stats["memory_cache_size"].is_u64(), "{stats}");
        assert!((0.0..=100.0).contains(&stats["hit_rate_percent"].as_f64().expect("a number")), "{stats}");
        assert_eq!(stats["redis_available"], servers);
        eventually("what is in memory is counted", SOON, async || {
            browser.validate().await.expect(200);
            let stats = app.program().get("/health/cache").await.expect(200).json()["stats"].clone();
            stats["memory_cache_size"].as_u64().filter(|size| *size > 0)
        })
        .await;
    }

    async fn redis_and_the_session_cache_tell_how_they_do(app: TestApp) {
        let browser = app.sign_in("ada@example.com").await;
        for _ in 0..5 {
            assert!(browser.is_signed_in().await);
        }
        let health = app.program().get("/api/health/redis").await.expect(200).json();
        let servers = app.setup == Setup::Servers;
        let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let all = ["errors", "performance", "redis", "sessionCache", "status", "timestamp"];
        assert_eq!(fields(&health), all, "{health}");
        assert_eq!(fields(&health["redis"]), ["connected", "totalKeys", "uptime", "usedMemory", "version"]);
        assert_eq!(fields(&health["sessionCache"]), ["enabled", "healthy", "metrics", "pool"]);
        let metrics = &health["sessionCache"]["metrics"];
        assert_eq!(fields(metrics), ["errors", "hitRate", "hits", "misses", "total", "ttl"]);
        assert_eq!(fields(&health["sessionCache"]["pool"]), ["available", "pending", "size"]);
        assert_eq!(fields(&health["performance"]), ["get", "ping", "set"]);

        assert_eq!(health["redis"]["connected"], servers);
        assert_eq!((&health["sessionCache"]["enabled"], &health["sessionCache"]["healthy"]), (&json!(true), &json!(true)));
        let (hits, misses) = (metrics["hits"].as_u64().unwrap(), metrics["misses"].as_u64().unwrap());
        assert!(hits >= 4 && metrics["total"] == hits + misses && metrics["ttl"] == 300, "{metrics}");
        assert_eq!(health["errors"], json!([]));
        for what in ["ping", "set", "get"] {
            assert_eq!(health["performance"][what].as_f64().is_some_and(|took| took > 0.0), servers, "{health}");
        }
        if servers {
            // A busy machine may well be slow.
            assert!(health["status"] == "healthy" || health["performance"]["ping"].as_f64() > Some(100.0), "{health}");
            assert!(health["redis"]["version"].as_str().unwrap().contains('.'), "{health}");
            assert!(health["redis"]["usedMemory"].as_u64() > Some(100_000), "{health}");
            assert!(health["redis"]["uptime"].is_u64() && health["redis"]["totalKeys"].as_u64() > Some(0), "{health}");
            assert!(health["sessionCache"]["pool"]["size"].as_u64() > Some(0), "{health}");
        } else {
            assert_eq!(health["status"], "healthy", "what is not there cannot fail");
            assert_eq!(health["redis"]["version"], Value::Null);
        }
    }

    async fn prometheus_reads_the_metrics(app: TestApp) {
        app.program().get("/nowhere/a-secret").await;
        app.admin().await;
        let answer = app.program().get("/metrics").await.expect(200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let mut samples = 0;
        for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("gatepost_"), "{line}");
            let (_, value) = line.rsplit_once(' ').expect("a sample has a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            samples += 1;
        }
        assert!(samples > 10, "{}", answer.body);
        let counted = r#"gatepost_http_requests_total{method="POST",route="/api/auth/otp/verify",status="200"} 1"#;
        assert!(answer.body.contains(counted), "{}", answer.body);
        for figure in ["hits_total", "misses_total", "tier_errors_total"] {
            for (cache, tier) in [("users", "memory"), ("users", "redis"), ("sessions", "memory"), ("sessions", "redis")] {
                let sample = format!("gatepost_cache_{figure}{{cache=\"{cache}\",tier=\"{tier}\"}} ");
                assert!(answer.body.contains(&sample), "{sample} in {}", answer.body);
            }
        }
        for figure in ["loads_total", "load_seconds_total", "invalidations_total", "refused_fills_total", "entries", "weight_bytes"] {
            let sample = format!("gatepost_cache_{figure}{{cache=\"sessions\"}} ");
            assert!(answer.body.contains(&sample), "{sample} in {}", answer.body);
        }
        assert!(answer.body.contains(r#"gatepost_sign_ins_total{method="otp""#), "{}", answer.body);
        for private in ["a-secret", ROOT] {
            assert!(!answer.body.contains(private), "paths and people do not belong into metrics: {private}");
        }
    }

    async fn the_api_is_described(app: TestApp) {
        let document = app.program().get("/openapi.json").await.expect(200).json();
        assert!(
            document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")),
            "{}",
            document["openapi"]
        );
        for path in
            ["/api/auth/otp/request", "/api/auth/validate", "/api/sessions/{id}", "/forward-auth", "/health/ready"]
        {
            assert!(document["paths"][path].is_object(), "{path}");
        }
        let page = app.browser().page("/docs").await.expect_page(200);
        for path in document["paths"].as_object().unwrap().keys() {
            let last = path.rsplit('/').next().unwrap();
            assert!(page.body.contains(last), "{path} is not in the reference");
        }
        assert!(!page.body.contains("http://cdn") && !page.body.contains("https://cdn"), "it works offline");
    }

    async fn head_is_get_without_the_body(app: TestApp) {
        for path in [
            "/health",
            "/health/live",
            "/health/ready",
            "/health/cache",
            "/api/health/redis",
            "/metrics",
            "/openapi.json",
            "/docs",
            "/login",
            "/.well-known/jwks.json",
            "/register",
            "/signed-out",
            "/assets/favicon.svg",
        ] {
            let (head, get) = (app.program().head(path).await.expect(200), app.program().get(path).await.expect(200));
            assert_eq!((head.body.as_str(), head.header("content-type")), ("", get.header("content-type")), "{path}");
        }
        assert_eq!(app.program().head("/nowhere").await.status, 404);
        assert_eq!(app.program().head("/api/auth/validate").await.status, 401);
    }

    async fn mails_are_shown_only_where_they_cannot_be_sent(app: TestApp) {
        app.admin().await;
        let paths = ["/dev/mail", "/dev/mail/messages", "/dev/mail/messages/01890a5d-ac96-774b-bcce-b302099a8057/html"];
        if app.setup == Setup::Servers {
            for path in paths {
                app.program().get(path).await.expect_problem(404, "not_found");
            }
            return;
        }
        let listed = app.program().get("/dev/mail/messages").await.expect(200).json();
        let mail = listed[0].as_object().expect("a mail");
        for field in ["id", "to", "subject", "text", "html", "kind", "created_at"] {
            assert!(mail[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
        }
        assert_eq!((&mail["to"], &mail["kind"]), (&json!(ROOT), &json!("code_and_link")));
        let code = app.mails_to(ROOT).await[0].code().to_owned();
        assert!(app.browser().page("/dev/mail").await.expect_page(200).body.contains(&code));
        let html =
            app.program().get(&format!("/dev/mail/messages/{}/html", mail["id"].as_str().unwrap())).await.expect(200);
        assert!(html.header("content-security-policy").unwrap().contains("sandbox"));
        app.program().get(paths[2]).await.expect_problem(404, "not_found");
    }

    async fn every_answer_has_an_id_and_is_not_to_be_guessed_about(app: TestApp) {
        let mut ids = std::collections::HashSet::new();
        let (program, browser) = (app.program(), app.browser());
        for path in [
            "/",
            "/health",
            "/metrics",
            "/login",
            "/account",
            "/nowhere",
            "/api/auth/validate",
            "/api/auth/login",
            "/assets/favicon.svg",
            "/favicon.ico",
            "/forward-auth",
            "/docs",
        ] {
            for answer in [program.get(path).await, browser.page(path).await, browser.form(path, &[]).await] {
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
                let id = answer.header("x-request-id").expect("an id").to_owned();
                assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
                assert!(ids.insert(id), "an id came twice");
            }
        }
        let forged = program.with("x-request-id", "mine").get("/health").await.expect(200);
        assert_ne!(forged.header("x-request-id"), Some("mine"), "ids are the server's own");
    }
}

on_servers! {
    async fn without_redis_the_server_is_degraded_and_ready(app: TestApp) {
        let browser = app.sign_in("ada@example.com").await;
        app.kill_redis().await;
        let ready = eventually("the server notices", SOON, async || {
            // A request that would ask Redis.
            browser.validate().await.expect(200);
            let ready: Value = app.program().get("/health/ready").await.expect(200).json();
            (ready["status"] == "degraded").then_some(ready)
        })
        .await;
        assert_eq!(ready["checks"], json!({ "database": "postgres", "redis": "down" }));
        let cache = app.program().get("/health/cache").await.expect(200).json();
        assert_eq!((&cache["status"], &cache["backend"]), (&json!("degraded"), &json!("memory")));
        assert_eq!(cache["stats"]["redis_available"], false);
        let redis = app.program().get("/api/health/redis").await.expect(503).json();
        assert_eq!((&redis["status"], &redis["redis"]["connected"]), (&json!("unhealthy"), &json!(false)));
        assert_eq!((&redis["sessionCache"]["enabled"], &redis["sessionCache"]["healthy"]), (&json!(true), &json!(false)));
        assert_eq!(redis["errors"], json!(["PING: Redis is unavailable"]));
        assert_eq!(redis["performance"], json!({ "ping": null, "set": null, "get": null }));
        assert!(app.sign_in("bob@example.com").await.is_signed_in().await);
    }
}
