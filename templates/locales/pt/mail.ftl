## Em todos os e-mails

greeting = Olá, { $name },
sent-to = Enviado para { $recipient } por { $product }
button-fails = Se o botão não funcionar, copie este endereço:
button-sign-in = Entrar no { $product }
button-account = Abrir sua conta
button-review = Analisar o pedido
button-list = Abrir a lista
quoted = “{ $text }”
label-email = E-mail
label-new-email = Novo endereço
label-name = Nome
label-device = Dispositivo
label-address = Endereço IP
label-time = Hora
name-not-given = Não informado
device-on = { $browser } em { $system }
device-unknown = Dispositivo desconhecido

## Entrar

code-subject = { $code_spaced } é o seu código do { $product }
code-heading = Seu código de acesso
code-text = Digite este código na página em que você o solicitou. Ele vale uma única vez, por { $minutes ->
    [one] { $minutes } minuto
   *[other] { $minutes } minutos
}.
code-secret = Ninguém jamais pedirá este código a você, nem mesmo nós. Não o leia nem o envie a ninguém.
code-and-link-subject = { $code_spaced } é o seu código do { $product }
code-and-link-heading = Seu código de acesso
code-and-link-text = Digite este código na página em que você o solicitou. Ele vale uma única vez, por { $minutes ->
    [one] { $minutes } minuto
   *[other] { $minutes } minutos
}.
code-and-link-secret = Ninguém jamais pedirá este código ou este link a você, nem mesmo nós. Não os compartilhe com ninguém.
magic-link-subject = Seu link de acesso ao { $product }
magic-link-heading = Seu link de acesso
magic-link-text = Abra este link no navegador em que você o solicitou. Ele vale uma única vez, por { $minutes ->
    [one] { $minutes } minuto
   *[other] { $minutes } minutos
}.
magic-link-secret = Ninguém jamais pedirá este link a você, nem mesmo nós. Não o encaminhe a ninguém.
link-too = Ou abra este link no mesmo navegador:
requested-from = O pedido veio de:
not-you = Não foi você?
not-you-advice = Você pode ignorar este e-mail. Sem ele, ninguém consegue entrar.

## Aos administradores

registration-subject = { $email } pede uma conta no { $product }
registration-heading = Alguém pede uma conta
registration-text = A pessoa comprovou que o endereço é dela. As demais informações não foram verificadas.
registration-note = A mensagem, nas palavras da pessoa:
registration-advice = Abrir a página não decide nada. Você recebe este e-mail porque é administrador.
digest-subject = { $total ->
    [one] Mais { $total } pessoa pede uma conta no { $product }
   *[other] Mais { $total } pessoas pedem uma conta no { $product }
}
digest-heading = Mais pessoas pedem uma conta
digest-text = { $total ->
    [one] { $total } pessoa que se cadastrou desde { $since } aguarda sua decisão.
   *[other] { $total } pessoas que se cadastraram desde { $since } aguardam sua decisão.
}
digest-more = { $more ->
    [one] Há mais { $more } na lista de contas.
   *[other] Há mais { $more } na lista de contas.
}
digest-advice = Abrir uma página não decide nada. Você recebe este e-mail porque é administrador.

## O que aconteceu com uma conta

approved-subject = Sua conta no { $product } foi aprovada
approved-heading = Sua conta foi aprovada
approved-text = Um administrador aprovou seu pedido. Você já pode entrar no { $product } com este endereço.
rejected-subject = Seu pedido de conta no { $product }
rejected-heading = Seu pedido foi recusado
rejected-text = Um administrador recusou seu pedido de conta no { $product }.
rejected-advice = Se você acha que houve um engano, fale com o administrador.
admin-note = Uma mensagem do administrador:
invitation-subject = Você recebeu um convite para o { $product }
invitation-heading = Você recebeu um convite para o { $product }
invitation-text = “{ $inviter }” criou uma conta para você. Entre quando quiser com este endereço, { $recipient }.
invitation-advice = Você não precisa de senha: a cada acesso, enviamos um código ou um link por e-mail. Não esperava por isto? Você pode ignorar este e-mail.
no-password-advice = Você não precisa de senha: a cada acesso, enviamos um código ou um link por e-mail.

## A segurança da conta

new-device-subject = Novo acesso à sua conta no { $product }
new-device-heading = Um novo dispositivo entrou
new-device-text = Sua conta no { $product } foi usada em um dispositivo que ainda não conhecíamos.
address-changed-subject = Seu endereço no { $product } foi alterado
address-changed-heading = Seu endereço foi alterado
address-changed-text = Sua conta no { $product } agora usa outro endereço de e-mail. Códigos e links não chegam mais a este.
address-changed-advice = Se foi você, não é preciso fazer nada. Se não foi, avise seu administrador imediatamente: talvez você não consiga mais entrar.
password-changed-subject = Sua senha do { $product } foi alterada
password-changed-heading = Sua senha foi alterada
password-changed-text = A partir de agora, só vale a nova senha do { $product }. O acesso por e-mail funciona como antes.
refresh-token-reused-subject = Encerramos uma das suas sessões no { $product }
refresh-token-reused-heading = Encerramos uma das suas sessões
refresh-token-reused-text = Um token da sua conta no { $product } que já havia sido substituído foi usado de novo. Ele pode ter sido copiado, por isso desconectamos esse dispositivo. Se ele for seu, entre novamente.
sessions-ended-subject = Seus dispositivos foram desconectados do { $product }
sessions-ended-heading = Seus dispositivos foram desconectados
sessions-ended-text = Sessões da sua conta no { $product } foram encerradas. Entre novamente onde precisar.
role-changed-subject = Sua função no { $product } foi alterada
role-changed-heading = Sua função foi alterada
role-changed-text = Um administrador alterou o que você pode fazer no { $product }. A página da sua conta mostra sua função.
role-changed-advice = Se você não esperava por isto, fale com seu administrador.
security-advice = Se foi você, não é preciso fazer nada. Se não foi, abra sua conta, desconecte os dispositivos que não reconhece e avise seu administrador.
