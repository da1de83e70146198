### The words of all mails. Every mail knows $product (the product's name) and $recipient (the address it goes to).

## In every mail

greeting = Hello { $name },
sent-to = Sent to { $recipient } by { $product }
button-fails = If the button does nothing, copy this address:
button-sign-in = Sign in to { $product }
button-account = Open your account
button-review = Review the request
button-list = Open the list
quoted = “{ $text }”
label-email = E-mail
label-new-email = New address
label-name = Name
label-device = Device
label-address = IP address
label-time = Time
name-not-given = Not given
device-on = { $browser } on { $system }
device-unknown = Unknown device

## Signing in: a code, a link, or both. $code has six digits, $code_spaced the same in two groups, and $minutes is how
## long they work.

code-subject = { $code_spaced } is your { $product } code
code-heading = Your sign-in code
code-text = Type this code on the page where you asked for it. It works once, for { $minutes ->
    [one] one minute
   *[other] { $minutes } minutes
}.
code-secret = Nobody will ever ask you for this code, not even us. Do not read it out or send it to anyone.
code-and-link-subject = { $code_spaced } is your { $product } code
code-and-link-heading = Your sign-in code
code-and-link-text = Type this code on the page where you asked for it. It works once, for { $minutes ->
    [one] one minute
   *[other] { $minutes } minutes
}.
code-and-link-secret = Nobody will ever ask you for this code or link, not even us. Do not read it out or send it to anyone.
magic-link-subject = Your { $product } sign-in link
magic-link-heading = Your sign-in link
magic-link-text = Open this link in the browser you asked with. It works once, for { $minutes ->
    [one] one minute
   *[other] { $minutes } minutes
}.
magic-link-secret = Nobody will ever ask you for this link, not even us. Do not forward it to anyone.
link-too = Or open this link in the same browser:
requested-from = This was asked for from:
not-you = Not you?
not-you-advice = You can ignore this mail. Nobody gets in without it.

## To admins: who waits for approval. $total people registered since $since; $more of them are not in the list.

registration-subject = { $email } asks for a { $product } account
registration-heading = Someone asks for an account
registration-text = They have proved that the address is theirs. What else they say about themselves is not checked.
registration-note = Their note, in their own words:
registration-advice = Opening the page decides nothing. You get this mail because you are an administrator.
digest-subject = { $total ->
    [one] One more person asks for a { $product } account
   *[other] { $total } more people ask for a { $product } account
}
digest-heading = More people ask for an account
digest-text = { $total ->
    [one] One person who registered since { $since } waits for your decision.
   *[other] { $total } people who registered since { $since } wait for your decision.
}
digest-more = { $more ->
    [one] One more is in the list of accounts.
   *[other] { $more } more are in the list of accounts.
}
digest-advice = Opening a page decides nothing. You get this mail because you are an administrator.

## What became of an account

approved-subject = Your { $product } account is approved
approved-heading = Your account is approved
approved-text = An administrator has approved your request. You can sign in to { $product } now, with this address.
rejected-subject = Your request for a { $product } account
rejected-heading = Your request was turned down
rejected-text = An administrator has turned down your request for a { $product } account.
rejected-advice = If you think this is a mistake, please ask the administrator.
admin-note = A note from the administrator:
invitation-subject = You are invited to { $product }
invitation-heading = You are invited to { $product }
invitation-text = “{ $inviter }” has made an account for you. Sign in with this address, { $recipient }, whenever you like.
invitation-advice = You need no password: we mail you a code or a link each time you sign in. You did not expect this? You can ignore this mail.
no-password-advice = You need no password: we mail you a code or a link each time you sign in.

## The account's safety

new-device-subject = New sign-in to your { $product } account
new-device-heading = A new device signed in
new-device-text = Your { $product } account was used on a device we have not seen before.
address-changed-subject = Your { $product } address was changed
address-changed-heading = Your address was changed
address-changed-text = Your { $product } account now uses another e-mail address. Codes and links no longer come to this one.
address-changed-advice = If it was you, there is nothing to do. If not, tell your administrator at once: you may no longer be able to sign in.
password-changed-subject = Your { $product } password was changed
password-changed-heading = Your password was changed
password-changed-text = From now on only the new { $product } password works. Signing in by mail works as before.
refresh-token-reused-subject = We ended one of your { $product } sessions
refresh-token-reused-heading = We ended one of your sessions
refresh-token-reused-text = A token of your { $product } account that had already been replaced was used again. It may have been copied, so we signed that device out. Sign in there again if it is yours.
sessions-ended-subject = Your { $product } devices were signed out
sessions-ended-heading = Your devices were signed out
sessions-ended-text = Sessions of your { $product } account were ended. Sign in again where you need to.
role-changed-subject = Your { $product } role was changed
role-changed-heading = Your role was changed
role-changed-text = An administrator changed what you may do in { $product }. Your account page shows your role.
role-changed-advice = If you did not expect this, ask your administrator.
security-advice = If it was you, there is nothing to do. If not, open your account, sign out the devices you do not recognise, and tell your administrator.
