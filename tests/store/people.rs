//! What is asked about many accounts at once.

use super::*;

on_both_databases! {
    async fn many_accounts_are_read_by_their_ids(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let mut made = Vec::new();
        for n in 0..4 {
            made.push(q::users::insert(&mut conn, &new_user(&format!("p{n}@example.com")), now()).await.unwrap());
        }
        let unknown = UserId::new(&Clock::system(), &Entropy::system());
        let mut found = q::users::by_ids(&mut conn, &[made[2].id, unknown, made[0].id]).await.unwrap();
        found.sort_by_key(|user| user.id != made[0].id);
        assert_eq!(found, [made[0].clone(), made[2].clone()]);
        assert!(q::users::by_ids(&mut conn, &[]).await.unwrap().is_empty());
    }

    async fn a_change_tells_what_the_account_is_found_by(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let made = q::users::insert(&mut conn, &new_user("Ada@example.com"), start).await.unwrap();
        let later = start + TimeDelta::seconds(1);
        let change = ProfileChange {
            username: Some(Some(Username::parse("ada").unwrap())),
            phone: Some(Some("+49301234567".parse().unwrap())),
            ..ProfileChange::default()
        };
        q::users::update_profile(&mut conn, made.id, &change, later).await.unwrap().unwrap();
        let found = q::users::changed_since(&mut conn, later, None, 10).await.unwrap();
        let [changed] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((changed.id, changed.version, changed.changed), (made.id, 2, later));
        let names = (changed.email.as_str(), changed.username.as_deref(), changed.phone.as_deref());
        assert_eq!(names, ("Ada@example.com", Some("ada"), Some("+49301234567")));
    }

    async fn a_sign_in_is_no_change_that_others_see_unless_its_account_is_new(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now() - TimeDelta::hours(1);
        let old = q::users::insert(&mut conn, &new_user("ada@example.com"), start).await.unwrap();
        let today = now();
        let new = q::users::insert(&mut conn, &new_user("bob@example.com"), today).await.unwrap();
        for id in [old.id, new.id] {
            q::users::record_sign_in(&mut conn, id, today).await.unwrap();
        }
        let since = today - TimeDelta::seconds(10);
        let shown = q::users::shown_changed_since(&mut conn, since, None, 10).await.unwrap();
        assert_eq!(shown, [(new.id, 2, today)]);
        let later = today + TimeDelta::seconds(1);
        q::users::set_standing(&mut conn, old.id, UserStatus::Banned, Role::User, later).await.unwrap();
        let shown = q::users::shown_changed_since(&mut conn, since, Some((today, new.id)), 10).await.unwrap();
        assert_eq!(shown, [(old.id, 3, later)]);
    }

    async fn the_figures_count_each_thing_where_it_belongs(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let today = now().date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
        let (at, yesterday) = (today + TimeDelta::hours(12), today - TimeDelta::hours(1));
        let stats = q::statistics::accounts(&mut conn, today, today, at).await.unwrap();
        assert_eq!((stats.accounts.len(), stats.open_sessions, stats.registrations.len()), (0, 0, 0));
        let mut made = Vec::new();
        for (n, when) in [at, yesterday, yesterday, today - TimeDelta::days(40)].into_iter().enumerate() {
            made.push(q::users::insert(&mut conn, &new_user(&format!("p{n}@example.com")), when).await.unwrap());
        }
        q::users::set_standing(&mut conn, made[0].id, UserStatus::Approved, Role::Admin, at).await.unwrap();
        q::users::set_standing(&mut conn, made[1].id, UserStatus::Approved, Role::User, at).await.unwrap();
        for (token, begun) in [(b"a", at), (b"b", at), (b"c", at - TimeDelta::days(31))] {
            q::sessions::insert(&mut conn, &new_session(&made[0], token, begun)).await.unwrap();
        }
        q::sessions::revoke_all(&mut conn, made[1].id, None, at).await.unwrap();
        for n in 0..2 {
            q::outbox::insert(&mut conn, &NewMail { message_id: format!("{n}@x"), ..new_mail(at) }).await.unwrap();
        }
        let since = today - TimeDelta::days(29);
        let mut stats = q::statistics::accounts(&mut conn, since, today, at).await.unwrap();
        stats.accounts.sort_by_key(|(.., count)| -count);
        assert_eq!(stats.accounts[0], (UserStatus::Pending, Role::User, 2));
        assert!(stats.accounts.contains(&(UserStatus::Approved, Role::Admin, 1)));
        assert!(stats.accounts.contains(&(UserStatus::Approved, Role::User, 1)));
        let day = |at: Instant| at.date_naive().to_string();
        assert_eq!(stats.registrations, [(day(yesterday), 2), (day(at), 1)]);
        assert_eq!((stats.open_sessions, stats.sign_ins_today), (2, 0));
        stats.mails.sort_by_key(|(status, _)| status.as_str());
        let expected = [(MailStatus::Dead, 0), (MailStatus::Ready, 2), (MailStatus::Sending, 0)];
        assert_eq!(stats.mails, expected);
    }
}
