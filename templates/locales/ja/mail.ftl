## すべてのメール

greeting = { $name } 様
sent-to = このメールは { $product } から { $recipient } 宛に送信されました
button-fails = ボタンが反応しない場合は、次のアドレスをコピーしてください。
button-sign-in = { $product } にサインイン
button-account = アカウントを開く
button-review = 申請を確認する
button-list = 一覧を開く
quoted = 「{ $text }」
label-email = メール
label-new-email = 新しいアドレス
label-name = 名前
label-device = 端末
label-address = IPアドレス
label-time = 日時
name-not-given = 未記入
device-on = { $system } の { $browser }
device-unknown = 不明な端末

## サインイン

code-subject = { $code_spaced } は { $product } のコードです
code-heading = サインインコード
code-text = コードを申請したページに、このコードを入力してください。有効なのは1回限り、{ $minutes }分間です。
code-secret = このコードを誰かがお尋ねすることは、当方も含めて決してありません。読み上げたり、送ったりしないでください。
code-and-link-subject = { $code_spaced } は { $product } のコードです
code-and-link-heading = サインインコード
code-and-link-text = コードを申請したページに、このコードを入力してください。有効なのは1回限り、{ $minutes }分間です。
code-and-link-secret = このコードやリンクを誰かがお尋ねすることは、当方も含めて決してありません。読み上げたり、送ったりしないでください。
magic-link-subject = { $product } のサインイン用リンク
magic-link-heading = サインイン用リンク
magic-link-text = リンクを申請したブラウザーで、このリンクを開いてください。有効なのは1回限り、{ $minutes }分間です。
magic-link-secret = このリンクを誰かがお尋ねすることは、当方も含めて決してありません。転送しないでください。
link-too = または、同じブラウザーで次のリンクを開いてください。
requested-from = 申請元は次のとおりです。
not-you = お心当たりがありませんか？
not-you-advice = このメールは無視していただいてかまいません。このメールなしでは誰もサインインできません。

## 管理者宛

registration-subject = { $email } さんが { $product } のアカウントを申請しています
registration-heading = アカウントの申請があります
registration-text = 申請者は、アドレスが本人のものであることを証明しました。その他の申告内容は確認されていません。
registration-note = 申請者からのメッセージ（原文）:
registration-advice = ページを開いただけでは何も決まりません。このメールは管理者の方にお送りしています。
digest-subject = { $product } のアカウントの申請がほかに{ $total }件あります
digest-heading = アカウントの申請がほかにもあります
digest-text = { $since } 以降に登録した{ $total }名が承認を待っています。
digest-more = アカウントの一覧には、ほかに{ $more }名います。
digest-advice = ページを開いただけでは何も決まりません。このメールは管理者の方にお送りしています。

## アカウントのその後

approved-subject = { $product } のアカウントが承認されました
approved-heading = アカウントが承認されました
approved-text = 管理者が申請を承認しました。このアドレスで { $product } にサインインできます。
rejected-subject = { $product } のアカウントの申請について
rejected-heading = 申請は承認されませんでした
rejected-text = { $product } のアカウントの申請は、管理者により承認されませんでした。
rejected-advice = 誤りと思われる場合は、管理者にお問い合わせください。
admin-note = 管理者からのメッセージ:
invitation-subject = { $product } へのご招待
invitation-heading = { $product } へのご招待
invitation-text = 「{ $inviter }」さんがアカウントを用意しました。このアドレス（{ $recipient }）で、いつでもサインインできます。
invitation-advice = パスワードは不要です。サインインのたびにコードまたはリンクをメールでお送りします。お心当たりがない場合は、このメールを無視してください。
no-password-advice = パスワードは不要です。サインインのたびにコードまたはリンクをメールでお送りします。

## アカウントの安全

new-device-subject = { $product } のアカウントへの新しいサインイン
new-device-heading = 新しい端末からのサインイン
new-device-text = お使いの { $product } のアカウントが、これまでにない端末で使用されました。
address-changed-subject = { $product } のアドレスが変更されました
address-changed-heading = アドレスが変更されました
address-changed-text = お使いの { $product } のアカウントは、別のメールアドレスを使うようになりました。コードやリンクは今後このアドレスには届きません。
address-changed-advice = ご本人による変更であれば、何もする必要はありません。そうでない場合は、ただちに管理者にお知らせください。サインインできなくなるおそれがあります。
password-changed-subject = { $product } のパスワードが変更されました
password-changed-heading = パスワードが変更されました
password-changed-text = 今後は { $product } の新しいパスワードのみが有効です。メールによるサインインはこれまでどおり使えます。
refresh-token-reused-subject = { $product } のセッションを1つ終了しました
refresh-token-reused-heading = セッションを1つ終了しました
refresh-token-reused-text = お使いの { $product } のアカウントで、すでに置き換えられたトークンが再び使用されました。複製された可能性があるため、その端末をサインアウトしました。ご自身の端末であれば、もう一度サインインしてください。
sessions-ended-subject = 端末が { $product } からサインアウトされました
sessions-ended-heading = 端末がサインアウトされました
sessions-ended-text = お使いの { $product } のアカウントのセッションが終了しました。必要な端末で、もう一度サインインしてください。
role-changed-subject = { $product } での権限が変更されました
role-changed-heading = 権限が変更されました
role-changed-text = { $product } でできることを管理者が変更しました。権限はアカウントのページで確認できます。
role-changed-advice = お心当たりがない場合は、管理者にお問い合わせください。
security-advice = ご本人によるものであれば、何もする必要はありません。そうでない場合は、アカウントを開いて心当たりのない端末をサインアウトし、管理者にお知らせください。
