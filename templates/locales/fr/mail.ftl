## Dans chaque message

greeting = Bonjour { $name },
sent-to = Envoyé à { $recipient } par { $product }
button-fails = Si le bouton ne réagit pas, copiez cette adresse :
button-sign-in = Se connecter à { $product }
button-account = Ouvrir votre compte
button-review = Examiner la demande
button-list = Ouvrir la liste
quoted = « { $text } »
label-email = E-mail
label-new-email = Nouvelle adresse
label-name = Nom
label-device = Appareil
label-address = Adresse IP
label-time = Heure
name-not-given = Non indiqué
device-on = { $browser } sur { $system }
device-unknown = Appareil inconnu

## Connexion

code-subject = { $code_spaced } est votre code { $product }
code-heading = Votre code de connexion
code-text = Saisissez ce code sur la page où vous l’avez demandé. Il est valable une seule fois, pendant { $minutes ->
    [one] { $minutes } minute
   *[other] { $minutes } minutes
}.
code-secret = Personne ne vous demandera jamais ce code, pas même nous. Ne le lisez à personne et ne l’envoyez à personne.
code-and-link-subject = { $code_spaced } est votre code { $product }
code-and-link-heading = Votre code de connexion
code-and-link-text = Saisissez ce code sur la page où vous l’avez demandé. Il est valable une seule fois, pendant { $minutes ->
    [one] { $minutes } minute
   *[other] { $minutes } minutes
}.
code-and-link-secret = Personne ne vous demandera jamais ce code ni ce lien, pas même nous. Ne les communiquez à personne.
magic-link-subject = Votre lien de connexion à { $product }
magic-link-heading = Votre lien de connexion
magic-link-text = Ouvrez ce lien dans le navigateur avec lequel vous l’avez demandé. Il est valable une seule fois, pendant { $minutes ->
    [one] { $minutes } minute
   *[other] { $minutes } minutes
}.
magic-link-secret = Personne ne vous demandera jamais ce lien, pas même nous. Ne le transférez à personne.
link-too = Ou ouvrez ce lien dans le même navigateur :
requested-from = La demande provient de :
not-you = Ce n’était pas vous ?
not-you-advice = Vous pouvez ignorer ce message. Sans lui, personne ne peut entrer.

## Aux administrateurs

registration-subject = { $email } demande un compte { $product }
registration-heading = Une personne demande un compte
registration-text = Elle a prouvé que l’adresse lui appartient. Ses autres indications n’ont pas été vérifiées.
registration-note = Son message, dans ses propres mots :
registration-advice = Ouvrir la page ne décide de rien. Vous recevez ce message parce que vous êtes administrateur.
digest-subject = { $total ->
    [one] { $total } autre personne demande un compte { $product }
   *[other] { $total } autres personnes demandent un compte { $product }
}
digest-heading = D’autres personnes demandent un compte
digest-text = { $total ->
    [one] { $total } personne inscrite depuis le { $since } attend votre décision.
   *[other] { $total } personnes inscrites depuis le { $since } attendent votre décision.
}
digest-more = { $more ->
    [one] { $more } autre figure dans la liste des comptes.
   *[other] { $more } autres figurent dans la liste des comptes.
}
digest-advice = Ouvrir une page ne décide de rien. Vous recevez ce message parce que vous êtes administrateur.

## Ce qu’il advient d’un compte

approved-subject = Votre compte { $product } est approuvé
approved-heading = Votre compte est approuvé
approved-text = Un administrateur a approuvé votre demande. Vous pouvez dès maintenant vous connecter à { $product } avec cette adresse.
rejected-subject = Votre demande de compte { $product }
rejected-heading = Votre demande a été refusée
rejected-text = Un administrateur a refusé votre demande de compte { $product }.
rejected-advice = Si vous pensez qu’il s’agit d’une erreur, veuillez vous adresser à l’administrateur.
admin-note = Un message de l’administrateur :
invitation-subject = Vous êtes invité(e) à rejoindre { $product }
invitation-heading = Vous êtes invité(e) à rejoindre { $product }
invitation-text = « { $inviter } » a créé un compte pour vous. Connectez-vous quand vous le souhaitez avec cette adresse, { $recipient }.
invitation-advice = Aucun mot de passe n’est nécessaire : à chaque connexion, nous vous envoyons un code ou un lien. Vous ne vous y attendiez pas ? Vous pouvez ignorer ce message.
no-password-advice = Aucun mot de passe n’est nécessaire : à chaque connexion, nous vous envoyons un code ou un lien.

## La sécurité du compte

new-device-subject = Nouvelle connexion à votre compte { $product }
new-device-heading = Un nouvel appareil s’est connecté
new-device-text = Votre compte { $product } a été utilisé sur un appareil que nous ne connaissions pas encore.
address-changed-subject = Votre adresse { $product } a été modifiée
address-changed-heading = Votre adresse a été modifiée
address-changed-text = Votre compte { $product } utilise désormais une autre adresse e-mail. Les codes et les liens n’arrivent plus à celle-ci.
address-changed-advice = Si c’était vous, vous n’avez rien à faire. Sinon, prévenez immédiatement votre administrateur : vous ne pourrez peut-être plus vous connecter.
password-changed-subject = Votre mot de passe { $product } a été modifié
password-changed-heading = Votre mot de passe a été modifié
password-changed-text = Désormais, seul le nouveau mot de passe { $product } est valable. La connexion par e-mail fonctionne comme avant.
refresh-token-reused-subject = Nous avons mis fin à l’une de vos sessions { $product }
refresh-token-reused-heading = Nous avons mis fin à l’une de vos sessions
refresh-token-reused-text = Un jeton de votre compte { $product }, déjà remplacé, a été utilisé de nouveau. Il a peut-être été copié ; nous avons donc déconnecté cet appareil. Reconnectez-vous s’il est à vous.
sessions-ended-subject = Vos appareils ont été déconnectés de { $product }
sessions-ended-heading = Vos appareils ont été déconnectés
sessions-ended-text = Des sessions de votre compte { $product } ont été fermées. Reconnectez-vous là où vous en avez besoin.
role-changed-subject = Votre rôle dans { $product } a été modifié
role-changed-heading = Votre rôle a été modifié
role-changed-text = Un administrateur a modifié ce que vous pouvez faire dans { $product }. Votre rôle figure sur la page de votre compte.
role-changed-advice = Si vous ne vous y attendiez pas, adressez-vous à votre administrateur.
security-advice = Si c’était vous, vous n’avez rien à faire. Sinon, ouvrez votre compte, déconnectez les appareils que vous ne reconnaissez pas et prévenez votre administrateur.
