//! The pages, used as a browser without JavaScript uses them: by their links and forms.

use serde_json::json;

use crate::app::{CHROME, Options, PUBLIC_URL, ROOT, Setup};
use crate::client::{Answer, Client};

const ADA: &str = "ada@example.com";

/// A form as a page shows it, with what it sends unless its reader changes it.
pub(crate) struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The page's first form that goes to `action`.
    #[track_caller]
    pub(crate) fn of(page: &Answer, action: &str) -> Self {
        let at = page.body.find(&format!(r#"action="{action}""#));
        let at = at.unwrap_or_else(|| panic!("no form goes to {action}:\n{}", page.body));
        let body = page.body[at..].split("</form>").next().expect("a form ends");
        let inputs = body.split("<input").skip(1).map(|input| input.split('>').next().expect("an input ends"));
        let fields = inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect();
        Self { action: action.to_owned(), fields }
    }

    pub(crate) fn has(page: &Answer, action: &str) -> bool {
        page.body.contains(&format!(r#"action="{action}""#))
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn submit(self, browser: &Client) -> Answer {
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.form(&self.action, &fields).await
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let value = tag.split_once(&format!(r#" {name}=""#)).and_then(|(_, rest)| rest.split('"').next());
    let escapes = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    escapes.iter().fold(value.unwrap_or_default().to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// Goes where the answer sends the browser.
async fn follow(browser: &Client, answer: Answer) -> Answer {
    browser.page(answer.expect(303).location()).await
}

/// Asks for a code at a sign-in page; gives the page for the code.
async fn ask(browser: &Client, login: &Answer, email: &str) -> Answer {
    follow(browser, Form::of(login, "/login").set("email", email).submit(browser).await).await.expect_page(200)
}

on_both_setups! {
    async fn signing_in_leads_back_to_where_somebody_wanted_to_go(app: TestApp) {
        let browser = app.browser();
        let sent = browser.page("/account?tab=a%20b&x=/y").await;
        assert!(sent.location().starts_with("/login?next=%2Faccount"), "{}", sent.location());
        let login = follow(&browser, sent).await.expect_page(200);
        let code = ask(&browser, &login, ADA).await;
        assert!(code.body.contains("example.com"), "the page says where the mail went");
        let mail = app.sign_in_mail_to(ADA).await;
        let right = mail.code();

        for wrong in ["000000", "999999", "12", "", "abcdef"].into_iter().filter(|wrong| *wrong != right) {
            let again = Form::of(&code, "/login/code").set("code", wrong).submit(&browser).await;
            let status = if wrong.len() == 6 && wrong != "abcdef" { 401 } else { 400 };
            let again = again.expect_page(status);
            assert_eq!(
                Form::of(&again, "/login/code").fields,
                Form::of(&code, "/login/code").fields,
                "the flow is kept"
            );
            assert!(again.body.contains(r#"role="alert""#));
        }
        let spaced = format!(" {} {} ", &right[..3], &right[3..]);
        let entered = Form::of(&code, "/login/code").set("code", &spaced).submit(&browser).await;
        assert!(entered.set_cookie("gatepost_session").is_some());
        assert_eq!(entered.location(), "/account?tab=a%20b&x=/y");
        let account = follow(&browser, entered).await.expect_page(200);
        assert!(account.body.contains(ADA));
        browser.page("/login").await.expect_redirect("/account");
        browser.page("/").await.expect_redirect("/account");
        app.browser().page("/").await.expect_redirect("/login");
    }

    async fn the_mail_can_be_sent_again_and_a_burnt_code_replaced(app: TestApp) {
        let browser = app.browser();
        let code = ask(&browser, &browser.page("/login").await, ADA).await;
        let first = app.sign_in_mail_to(ADA).await;
        let again = follow(&browser, Form::of(&code, "/login").submit(&browser).await).await.expect_page(200);
        assert!(again.body.contains("on its way again"));
        assert_eq!(app.sign_in_mail_to(ADA).await.code(), first.code());
        let wrong = format!("{:06}", (first.code().parse::<u32>().unwrap() + 1) % 1_000_000);
        let mut last = again;
        for _ in 0..5 {
            last = Form::of(&last, "/login/code").set("code", &wrong).submit(&browser).await.expect_page(401);
        }
        assert!(!Form::has(&last, "/login/code"), "a burnt code is not asked for");
        let fresh = follow(&browser, Form::of(&last, "/login").submit(&browser).await).await.expect_page(200);
        let mail = app.sign_in_mail_to(ADA).await;
        let entered = Form::of(&fresh, "/login/code").set("code", mail.code()).submit(&browser).await;
        entered.expect_redirect("/account");
    }

    async fn only_the_browser_that_asked_sees_the_address(app: TestApp) {
        let browser = app.browser();
        let asked =
            Form::of(&browser.page("/login").await, "/login").set("email", ADA).submit(&browser).await.expect(303);
        let flow = asked.set_cookie("gatepost_flow").expect("the browser is remembered");
        assert!(flow.contains("HttpOnly") && flow.contains("SameSite=Lax"), "{flow}");
        let theirs = app.browser().page(asked.location()).await.expect_page(200);
        assert!(!theirs.body.contains("ada@") && !theirs.body.contains("example.com"));
        browser.page("/login/code").await.expect_redirect("/login");
    }

    async fn a_link_signs_in_by_a_button_and_shows_its_token_once(app: TestApp) {
        let browser = app.browser();
        ask(&browser, &browser.page("/login?next=/docs").await, ADA).await;
        let mail = app.sign_in_mail_to(ADA).await;
        let elsewhere = app.browser_as(CHROME);
        for (client, warned) in [(&browser, false), (&elsewhere, true)] {
            for _ in 0..2 {
                let page = client.page(mail.link_path()).await.expect_page(200);
                assert_eq!(page.body.matches(mail.token()).count(), 1, "the token is in the form and nowhere else");
                assert_eq!(page.body.contains("Another browser asked"), warned);
                assert!(!client.is_signed_in().await, "looking at a link signs nobody in");
            }
        }
        let page = browser.page(mail.link_path()).await;
        Form::of(&page, "/login/link").submit(&browser).await.expect_redirect("/docs");
        assert!(browser.is_signed_in().await && !elsewhere.is_signed_in().await);
        let late = elsewhere.page(mail.link_path()).await.expect_page(401);
        assert!(!late.body.contains(mail.token()) && late.body.contains("no longer works"));
    }

    async fn who_registers_waits_and_is_let_in_by_a_form(app: TestApp = Options::registration("approval").unlimited()) {
        let browser = app.browser();
        let page = browser.page("/register").await.expect_page(200);
        let wrong =
            Form::of(&page, "/register").set("email", "ada").set("name", "").submit(&browser).await.expect_page(400);
        assert!(wrong.body.contains(r#"value="ada""#) && wrong.body.contains("aria-invalid"), "what was typed is kept");
        let form = Form::of(&wrong, "/register").set("email", ADA).set("name", "Ada <b>").set("note", "I'm <i>new");
        let code = follow(&browser, form.submit(&browser).await).await.expect_page(200);
        let mail = app.sign_in_mail_to(ADA).await;
        let entered = Form::of(&code, "/login/code").set("code", mail.code()).submit(&browser).await;
        assert!(entered.set_cookie("gatepost_session").is_none());
        let pending = follow(&browser, entered.expect_redirect("/pending")).await.expect_page(200);
        assert!(pending.body.contains("waiting"));

        let (admin, id) = (app.admin().await, app.user_id(ADA).await);
        let notice = app.mail_about(ROOT, ADA).await;
        assert!(notice.text.contains(&format!("{PUBLIC_URL}/admin/approvals/{id}")), "{}", notice.text);
        let people = admin.page("/admin").await.expect_page(200);
        for shown in ["Ada &lt;b&gt;", "&lt;i&gt;new"] {
            assert!(people.body.contains(shown), "{shown} is not shown");
        }
        let review = admin.page(&format!("/admin/approvals/{id}")).await.expect_page(200);
        let approve = Form::of(&review, &format!("/admin/users/{id}/approve")).set("note", "Welcome");
        let back = follow(admin, approve.submit(admin).await).await.expect_page(200);
        assert!(back.body.contains("Approved.") && back.body.contains("Already decided"));
        assert!(app.mail_about(ADA, "is approved").await.text.contains("Welcome"));
        assert!(app.sign_in(ADA).await.is_signed_in().await);
    }

    async fn admins_decide_and_invite_by_forms(app: TestApp = Options::registration("approval").unlimited()) {
        app.register(ADA, "Ada").await;
        let (admin, id) = (app.admin().await, app.user_id(ADA).await);
        let act = |action: &str| format!("/admin/users/{id}/{action}");
        let mut page = admin.page("/admin?status=all&search=ada").await.expect_page(200);
        for (action, told) in [
            ("reject", "Rejected."),
            ("approve", "Approved."),
            ("promote", "They are an admin now."),
            ("demote", "no longer an admin"),
            ("ban", "Banned,"),
            ("unban", "The ban is lifted."),
        ] {
            let done = Form::of(&page, &act(action)).submit(admin).await;
            assert!(done.location().starts_with("/admin?status=all&search=ada&notice="), "{}", done.location());
            page = follow(admin, done).await.expect_page(200);
            assert!(page.body.contains(told), "{action}");
            assert!(!Form::has(&page, &act(action)), "what no longer fits is not offered");
        }
        let conflict = admin.form(&act("unban"), &[("return_to", "https://evil.example/")]).await;
        conflict.clone().expect_redirect("/admin?notice=conflict");
        assert!(follow(admin, conflict).await.body.contains("no longer possible"));
        let me = app.user_id(ROOT).await;
        admin.form(&format!("/admin/users/{me}/ban"), &[]).await.expect_redirect("/admin?notice=last-admin");

        let invite = || Form::of(&page, "/admin/invite").set("email", "grace@example.com").set("name", "Grace");
        let invited = follow(admin, invite().submit(admin).await).await.expect_page(200);
        assert!(invited.body.contains("invitation is on its way") && invited.body.contains("grace@example.com"));
        app.mail_about("grace@example.com", "invited").await;
        let twice = follow(admin, invite().submit(admin).await).await.expect_page(200);
        assert!(twice.body.contains("has an account already"));
        let user = app.sign_in("grace@example.com").await;
        user.page("/admin").await.expect_page(403);
        user.form(&act("ban"), &[]).await.expect_page(403);
    }

    async fn the_account_page_changes_profile_and_devices(app: TestApp) {
        let (browser, other) = (app.sign_in(ADA).await, app.sign_in_with(app.browser_as(CHROME), ADA).await);
        let page = browser.page("/account").await.expect_page(200);
        assert!(page.body.contains("Firefox") && page.body.contains("Chrome") && page.body.contains("This device"));
        let profile = |page: &Answer| {
            let form = Form::of(page, "/account/profile");
            form.set("name", "Ada \"L\"").set("username", "ada").set("phone", "+49 30 1234567").set("locale", "de")
        };
        let saved = profile(&page).submit(&browser).await.expect_redirect("/account?notice=saved");
        let page = follow(&browser, saved).await.expect_page(200);
        assert!(page.body.contains("Your profile is saved."));
        let of = |name: &str| {
            Form::of(&page, "/account/profile").fields.into_iter().find(|(field, _)| field == name).unwrap().1
        };
        assert_eq!(
            (of("name"), of("username"), of("phone")),
            ("Ada \"L\"".into(), "ada".into(), "+49301234567".into())
        );
        assert!(page.body.contains(r#"value="de" lang="de" selected"#));
        let wrong =
            profile(&page).set("username", "1").set("phone", "nonsense").submit(&browser).await.expect_page(400);
        assert!(wrong.body.contains(r#"value="nonsense""#) && wrong.body.contains("aria-invalid"));
        profile(&page).set("username", "").submit(&browser).await.expect_redirect("/account?notice=saved");
        assert!(browser.get("/api/auth/me").await.json()["username"].is_null());

        let id = other.validate().await.json()["session"]["id"].as_str().unwrap().to_owned();
        let ended = Form::of(&page, &format!("/account/sessions/{id}/end")).submit(&browser).await;
        ended.expect_redirect("/account?notice=ended");
        assert!(!other.is_signed_in().await);
        let other = app.sign_in_with(other, ADA).await;
        let page = browser.page("/account").await;
        Form::of(&page, "/account/sessions/end-others")
            .submit(&browser)
            .await
            .expect_redirect("/account?notice=others-ended");
        assert!(!other.is_signed_in().await && browser.is_signed_in().await);
        let left = Form::of(&page, "/logout").submit(&browser).await;
        assert!(left.set_cookie("gatepost_session").is_some());
        follow(&browser, left.expect_redirect("/signed-out")).await.expect_page(200);
        assert!(!browser.is_signed_in().await);
        Form::of(&page, "/account/profile").submit(&browser).await.expect_redirect("/login");
    }

    async fn passwords_work_by_forms(app: TestApp = Options::methods("otp,password").unlimited()) {
        let browser = app.sign_in(ADA).await;
        let set = |page: &Answer, new: &str| Form::of(page, "/account/password").set("new", new);
        let page = browser.page("/account").await.expect_page(200);
        let weak = set(&page, "short").submit(&browser).await.expect_page(400);
        assert!(weak.body.contains("too short") && !weak.body.contains(r#"value="short""#));
        set(&page, "correct horse battery").submit(&browser).await.expect_redirect("/account?notice=password");
        let page = browser.page("/account").await;
        let wrong = set(&page, "staple the horse").set("current", "wrong").submit(&browser).await.expect_page(400);
        assert!(wrong.body.contains("do not belong together"));

        let browser = app.browser();
        let login = browser.page("/login?next=/docs").await.expect_page(200);
        let form = |password: &str| Form::of(&login, "/login/password").set("email", ADA).set("password", password);
        let refused = form("wrong").submit(&browser).await.expect_page(401);
        assert!(refused.body.contains(ADA) && !refused.body.contains(r#"value="wrong""#));
        form("correct horse battery").submit(&browser).await.expect_redirect("/docs");
        assert!(browser.is_signed_in().await);
    }

    async fn no_page_sends_a_browser_to_another_site(app: TestApp = Options::without_limits()) {
        for next in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/%0d%0aX: y",
            "/%2Fevil.example",
            "/%5cevil.example",
            "\t//evil.example",
        ] {
            let browser = app.browser();
            let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let login = browser.page(&format!("/login?next={query}")).await.expect_page(200);
            assert!(!login.body.contains("evil.example") && !login.body.contains("alert(1)"), "{next}");
            let asked = Form::of(&login, "/login").set("email", ADA).set("next", next).submit(&browser).await;
            let code = follow(&browser, asked).await.expect_page(200);
            let mail = app.sign_in_mail_to(ADA).await;
            let entered =
                Form::of(&code, "/login/code").set("code", mail.code()).set("next", next).submit(&browser).await;
            assert_eq!(entered.expect(303).location(), "/account");
            let again = browser.page(&format!("/login?next={query}")).await.expect(303);
            assert_eq!(again.location(), "/account");
        }
    }

    async fn a_page_says_only_what_it_knows(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        assert!(browser.page("/account?notice=saved").await.expect_page(200).body.contains("Your profile is saved."));
        for notice in ["<script>alert(1)</script>", "Send%20money", "SAVED", "saved%00", ""] {
            let page = browser.page(&format!("/account?notice={notice}")).await.expect_page(200);
            assert!(!page.body.contains(r#"class="notice"#) && !page.body.contains("Send money"), "{notice}");
        }
        let pending = app.browser().page("/pending?email=mallory@example.com&status=odd").await.expect_page(200);
        assert!(!pending.body.contains("mallory"));
    }

    async fn people_get_pages_and_programs_get_problems(app: TestApp = Options::registration("closed")) {
        let (browser, program) = (app.browser(), app.program());
        let page = browser.page("/nowhere").await.expect_page(404);
        assert!(page.body.contains("does not exist"));
        program.get("/nowhere").await.expect_problem(404, "not_found");
        browser.page("/api/nowhere").await.expect_problem(404, "not_found");
        browser.page("/api/auth/validate").await.expect_problem(401, "unauthorized");
        program.get("/account").await.expect_problem(401, "unauthorized");
        let wrong =
            browser.send(browser.request(reqwest::Method::DELETE, "/login").header("accept", "text/html")).await;
        let wrong = wrong.expect_page(405);
        assert!(
            wrong.body.contains("method_not_allowed") && wrong.body.contains(wrong.header("x-request-id").unwrap())
        );
        browser.form("/account/profile", &[("name", "x")]).await.expect_redirect("/login");
        browser.page("/register").await.expect_redirect("/login");
        browser.page("/admin/approvals/nonsense").await.expect_redirect("/login?next=%2Fadmin%2Fapprovals%2Fnonsense");
        app.admin().await.page("/admin/approvals/nonsense").await.expect_page(404);
    }

    async fn every_page_is_whole_without_scripts_and_says_so(app: TestApp = Options::without_limits()) {
        let (browser, admin) = (app.browser(), app.admin().await);
        admin.put("/api/profile", json!({ "name": "<script>alert(1)</script>" })).await.expect(200);
        let id = app.user_id(ROOT).await;
        let code = browser.form("/login", &[("email", ADA)]).await.expect(303).location().to_owned();
        let link = app.sign_in_mail_to(ADA).await.link_path().to_owned();
        let mut pages = vec![
            browser.page("/login").await,
            browser.form("/login", &[("email", "x")]).await,
            browser.page(&code).await,
            browser.page(&link).await,
            browser.page("/login/link?token=x").await,
            browser.page("/register").await,
            browser.page("/pending").await,
            browser.page("/pending?status=rejected").await,
            browser.page("/signed-out").await,
            browser.page("/docs").await,
            browser.page("/nowhere").await,
            admin.page("/account").await,
            admin.page("/admin").await,
            admin.page("/admin?status=all").await,
            admin.page(&format!("/admin/approvals/{id}")).await,
            admin.page("/nowhere").await,
        ];
        if app.setup == Setup::Embedded {
            pages.push(browser.page("/dev/mail").await);
        }
        for (n, page) in pages.into_iter().enumerate() {
            let status = page.status;
            let page = page.expect_page(status);
            let policy = page.header("content-security-policy").expect("a policy");
            for directive in [
                "default-src 'none'",
                "style-src 'self'",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            ] {
                assert!(policy.contains(directive), "page {n}: {policy}");
            }
            assert!(
                !policy.contains("unsafe") && !policy.contains("script-src") && !policy.contains('*'),
                "page {n}: {policy}"
            );
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("origin-agent-cluster", "?1"),
                ("x-permitted-cross-domain-policies", "none"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(page.header(name), Some(value), "page {n}: {name}");
            }
            let permissions = page.header("permissions-policy").expect("a policy");
            assert!(permissions.split(", ").all(|feature| feature.ends_with("=()")), "page {n}: {permissions}");
            assert_eq!(policy.contains("frame-src"), app.setup == Setup::Embedded, "only its mails are in a frame");
            let html = page.body.to_lowercase();
            for inline in ["<script", "<style", " style=", " onclick=", " onload=", "javascript:", "//cdn."] {
                assert!(!html.contains(inline), "page {n} has {inline}");
            }
            assert!(
                html.trim_start().starts_with("<!doctype html>")
                    && html.contains("<title>")
                    && html.contains("lang=\"en\""),
                "page {n}"
            );
            let sheet = page.body.split(r#"rel="stylesheet" href=""#).nth(1).and_then(|rest| rest.split('"').next());
            let sheet = sheet.expect("a stylesheet").replace("&#x2f;", "/");
            let sheet = browser.get(&sheet).await.expect(200);
            assert_eq!(sheet.header("content-type"), Some("text/css; charset=utf-8"));
            assert!(sheet.header("cache-control").is_some_and(|value| value.contains("immutable")));
        }
    }
}

#[test]
fn no_template_of_a_page_has_a_script_or_a_style_of_its_own() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/pages");
    let templates: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(templates.len() > 15);
    for template in templates {
        let text = std::fs::read_to_string(&template).unwrap().to_lowercase();
        // The one script there is comes from the provider of a CAPTCHA, where one is set up.
        let text = text.replace(r#"<script src="{{ captcha.script }}" async defer></script>"#, "");
        for inline in ["<script", "<style", " style=", "javascript:", "http://", "srcdoc", "<object", "<embed", "<base"]
        {
            assert!(!text.contains(inline), "{} has {inline}", template.display());
        }
        let handler = text.split(" on").skip(1).any(|rest| {
            let name = rest.split('=').next().unwrap_or_default();
            rest.contains('=') && name.len() < 20 && name.bytes().all(|byte| byte.is_ascii_lowercase())
        });
        assert!(!handler, "{} has a handler", template.display());
    }
}
