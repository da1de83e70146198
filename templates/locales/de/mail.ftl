## In jeder Mail

greeting = Guten Tag { $name },
sent-to = An { $recipient } gesendet von { $product }
button-fails = Falls die Schaltfläche nicht reagiert, kopieren Sie diese Adresse:
button-sign-in = Bei { $product } anmelden
button-account = Konto öffnen
button-review = Anfrage prüfen
button-list = Liste öffnen
quoted = „{ $text }“
label-email = E-Mail
label-new-email = Neue Adresse
label-name = Name
label-device = Gerät
label-address = IP-Adresse
label-time = Zeit
name-not-given = Nicht angegeben
device-on = { $browser } unter { $system }
device-unknown = Unbekanntes Gerät

## Anmelden

code-subject = { $code_spaced } ist Ihr Code für { $product }
code-heading = Ihr Anmeldecode
code-text = Geben Sie diesen Code auf der Seite ein, auf der Sie ihn angefordert haben. Er gilt einmal und { $minutes ->
    [one] eine Minute
   *[other] { $minutes } Minuten
} lang.
code-secret = Niemand wird Sie je nach diesem Code fragen, auch wir nicht. Lesen Sie ihn niemandem vor und senden Sie ihn niemandem.
code-and-link-subject = { $code_spaced } ist Ihr Code für { $product }
code-and-link-heading = Ihr Anmeldecode
code-and-link-text = Geben Sie diesen Code auf der Seite ein, auf der Sie ihn angefordert haben. Er gilt einmal und { $minutes ->
    [one] eine Minute
   *[other] { $minutes } Minuten
} lang.
code-and-link-secret = Niemand wird Sie je nach diesem Code oder Link fragen, auch wir nicht. Lesen Sie ihn niemandem vor und senden Sie ihn niemandem.
magic-link-subject = Ihr Anmeldelink für { $product }
magic-link-heading = Ihr Anmeldelink
magic-link-text = Öffnen Sie diesen Link in dem Browser, in dem Sie ihn angefordert haben. Er gilt einmal und { $minutes ->
    [one] eine Minute
   *[other] { $minutes } Minuten
} lang.
magic-link-secret = Niemand wird Sie je nach diesem Link fragen, auch wir nicht. Leiten Sie ihn an niemanden weiter.
link-too = Oder öffnen Sie diesen Link im selben Browser:
requested-from = Angefordert wurde das von hier:
not-you = Das waren nicht Sie?
not-you-advice = Dann können Sie diese Mail ignorieren. Ohne sie kommt niemand hinein.

## An Administratoren

registration-subject = { $email } bittet um ein Konto bei { $product }
registration-heading = Jemand bittet um ein Konto
registration-text = Die Person hat nachgewiesen, dass die Adresse ihr gehört. Ihre übrigen Angaben sind nicht geprüft.
registration-note = Die Nachricht dazu, im Wortlaut:
registration-advice = Das Öffnen der Seite entscheidet noch nichts. Sie erhalten diese Mail, weil Sie Administrator sind.
digest-subject = { $total ->
    [one] Eine weitere Person bittet um ein Konto bei { $product }
   *[other] { $total } weitere Personen bitten um ein Konto bei { $product }
}
digest-heading = Weitere Personen bitten um ein Konto
digest-text = { $total ->
    [one] Eine Person, die sich seit dem { $since } registriert hat, wartet auf Ihre Entscheidung.
   *[other] { $total } Personen, die sich seit dem { $since } registriert haben, warten auf Ihre Entscheidung.
}
digest-more = { $more ->
    [one] Eine weitere steht in der Liste der Konten.
   *[other] { $more } weitere stehen in der Liste der Konten.
}
digest-advice = Das Öffnen einer Seite entscheidet noch nichts. Sie erhalten diese Mail, weil Sie Administrator sind.

## Was aus einem Konto wurde

approved-subject = Ihr Konto bei { $product } ist freigegeben
approved-heading = Ihr Konto ist freigegeben
approved-text = Ein Administrator hat Ihrer Anfrage zugestimmt. Sie können sich jetzt mit dieser Adresse bei { $product } anmelden.
rejected-subject = Ihre Anfrage nach einem Konto bei { $product }
rejected-heading = Ihre Anfrage wurde abgelehnt
rejected-text = Ein Administrator hat Ihre Anfrage nach einem Konto bei { $product } abgelehnt.
rejected-advice = Wenn Sie das für einen Irrtum halten, wenden Sie sich bitte an den Administrator.
admin-note = Eine Nachricht vom Administrator:
invitation-subject = Sie sind zu { $product } eingeladen
invitation-heading = Sie sind zu { $product } eingeladen
invitation-text = „{ $inviter }“ hat ein Konto für Sie angelegt. Melden Sie sich mit dieser Adresse, { $recipient }, an, wann immer Sie möchten.
invitation-advice = Sie brauchen kein Passwort: Bei jeder Anmeldung senden wir Ihnen einen Code oder Link. Sie haben das nicht erwartet? Dann können Sie diese Mail ignorieren.
no-password-advice = Sie brauchen kein Passwort: Bei jeder Anmeldung senden wir Ihnen einen Code oder Link.

## Die Sicherheit des Kontos

new-device-subject = Neue Anmeldung bei Ihrem { $product }-Konto
new-device-heading = Ein neues Gerät hat sich angemeldet
new-device-text = Ihr Konto bei { $product } wurde auf einem Gerät verwendet, das wir noch nicht kannten.
address-changed-subject = Ihre Adresse bei { $product } wurde geändert
address-changed-heading = Ihre Adresse wurde geändert
address-changed-text = Ihr Konto bei { $product } verwendet jetzt eine andere E-Mail-Adresse. Codes und Links kommen nicht mehr an diese hier.
address-changed-advice = Wenn Sie das waren, ist nichts zu tun. Wenn nicht, benachrichtigen Sie sofort Ihren Administrator: Möglicherweise können Sie sich nicht mehr anmelden.
password-changed-subject = Ihr Passwort bei { $product } wurde geändert
password-changed-heading = Ihr Passwort wurde geändert
password-changed-text = Ab jetzt gilt bei { $product } nur noch das neue Passwort. Die Anmeldung per Mail funktioniert wie bisher.
refresh-token-reused-subject = Wir haben eine Ihrer Sitzungen bei { $product } beendet
refresh-token-reused-heading = Wir haben eine Ihrer Sitzungen beendet
refresh-token-reused-text = Ein bereits ersetztes Token Ihres Kontos bei { $product } wurde noch einmal verwendet. Es könnte kopiert worden sein, daher haben wir das Gerät abgemeldet. Melden Sie sich dort neu an, wenn es Ihres ist.
sessions-ended-subject = Ihre Geräte wurden bei { $product } abgemeldet
sessions-ended-heading = Ihre Geräte wurden abgemeldet
sessions-ended-text = Sitzungen Ihres Kontos bei { $product } wurden beendet. Melden Sie sich dort neu an, wo Sie es brauchen.
role-changed-subject = Ihre Rolle bei { $product } wurde geändert
role-changed-heading = Ihre Rolle wurde geändert
role-changed-text = Ein Administrator hat geändert, was Sie bei { $product } tun dürfen. Ihre Kontoseite zeigt Ihre Rolle.
role-changed-advice = Wenn Sie das nicht erwartet haben, fragen Sie Ihren Administrator.
security-advice = Wenn Sie das waren, ist nichts zu tun. Wenn nicht, öffnen Sie Ihr Konto, melden Sie die Geräte ab, die Sie nicht kennen, und benachrichtigen Sie Ihren Administrator.
