## En todos los correos

greeting = Hola, { $name }:
sent-to = Enviado a { $recipient } por { $product }
button-fails = Si el botón no responde, copie esta dirección:
button-sign-in = Iniciar sesión en { $product }
button-account = Abrir su cuenta
button-review = Revisar la solicitud
button-list = Abrir la lista
quoted = «{ $text }»
label-email = Correo
label-new-email = Nueva dirección
label-name = Nombre
label-device = Dispositivo
label-address = Dirección IP
label-time = Hora
name-not-given = No indicado
device-on = { $browser } en { $system }
device-unknown = Dispositivo desconocido

## Inicio de sesión

code-subject = { $code_spaced } es su código de { $product }
code-heading = Su código de acceso
code-text = Escriba este código en la página donde lo solicitó. Sirve una sola vez, durante { $minutes ->
    [one] un minuto
   *[other] { $minutes } minutos
}.
code-secret = Nadie le pedirá nunca este código, ni siquiera nosotros. No se lo lea ni se lo envíe a nadie.
code-and-link-subject = { $code_spaced } es su código de { $product }
code-and-link-heading = Su código de acceso
code-and-link-text = Escriba este código en la página donde lo solicitó. Sirve una sola vez, durante { $minutes ->
    [one] un minuto
   *[other] { $minutes } minutos
}.
code-and-link-secret = Nadie le pedirá nunca este código ni este enlace, ni siquiera nosotros. No los comparta con nadie.
magic-link-subject = Su enlace de acceso a { $product }
magic-link-heading = Su enlace de acceso
magic-link-text = Abra este enlace en el navegador con el que lo solicitó. Sirve una sola vez, durante { $minutes ->
    [one] un minuto
   *[other] { $minutes } minutos
}.
magic-link-secret = Nadie le pedirá nunca este enlace, ni siquiera nosotros. No se lo reenvíe a nadie.
link-too = O abra este enlace en el mismo navegador:
requested-from = La solicitud procede de:
not-you = ¿No fue usted?
not-you-advice = Puede ignorar este correo. Sin él, nadie puede entrar.

## A los administradores

registration-subject = { $email } solicita una cuenta de { $product }
registration-heading = Alguien solicita una cuenta
registration-text = Ha demostrado que la dirección es suya. Lo demás que dice de sí no está comprobado.
registration-note = Su mensaje, en sus propias palabras:
registration-advice = Abrir la página no decide nada. Recibe este correo porque usted es administrador.
digest-subject = { $total ->
    [one] Otra persona solicita una cuenta de { $product }
   *[other] Otras { $total } personas solicitan una cuenta de { $product }
}
digest-heading = Más personas solicitan una cuenta
digest-text = { $total ->
    [one] Una persona que se registró desde el { $since } espera su decisión.
   *[other] { $total } personas que se registraron desde el { $since } esperan su decisión.
}
digest-more = { $more ->
    [one] Hay una más en la lista de cuentas.
   *[other] Hay { $more } más en la lista de cuentas.
}
digest-advice = Abrir una página no decide nada. Recibe este correo porque usted es administrador.

## Qué ha sido de una cuenta

approved-subject = Su cuenta de { $product } está aprobada
approved-heading = Su cuenta está aprobada
approved-text = Un administrador ha aprobado su solicitud. Ya puede iniciar sesión en { $product } con esta dirección.
rejected-subject = Su solicitud de una cuenta de { $product }
rejected-heading = Su solicitud ha sido rechazada
rejected-text = Un administrador ha rechazado su solicitud de una cuenta de { $product }.
rejected-advice = Si cree que se trata de un error, consulte al administrador.
admin-note = Un mensaje del administrador:
invitation-subject = Tiene una invitación a { $product }
invitation-heading = Tiene una invitación a { $product }
invitation-text = «{ $inviter }» ha creado una cuenta para usted. Inicie sesión cuando quiera con esta dirección, { $recipient }.
invitation-advice = No necesita contraseña: cada vez que inicie sesión le enviaremos un código o un enlace. ¿No lo esperaba? Puede ignorar este correo.
no-password-advice = No necesita contraseña: cada vez que inicie sesión le enviaremos un código o un enlace.

## La seguridad de la cuenta

new-device-subject = Nuevo inicio de sesión en su cuenta de { $product }
new-device-heading = Un dispositivo nuevo ha iniciado sesión
new-device-text = Su cuenta de { $product } se ha usado en un dispositivo que no conocíamos.
address-changed-subject = Su dirección en { $product } ha cambiado
address-changed-heading = Su dirección ha cambiado
address-changed-text = Su cuenta de { $product } usa ahora otra dirección de correo. Los códigos y enlaces ya no llegarán a esta.
address-changed-advice = Si fue usted, no tiene que hacer nada. Si no, avise de inmediato a su administrador: es posible que ya no pueda iniciar sesión.
password-changed-subject = Su contraseña de { $product } ha cambiado
password-changed-heading = Su contraseña ha cambiado
password-changed-text = A partir de ahora solo sirve la nueva contraseña de { $product }. El acceso por correo funciona como antes.
refresh-token-reused-subject = Hemos cerrado una de sus sesiones de { $product }
refresh-token-reused-heading = Hemos cerrado una de sus sesiones
refresh-token-reused-text = Se ha vuelto a usar un token de su cuenta de { $product } que ya se había sustituido. Es posible que lo hayan copiado, así que hemos cerrado la sesión de ese dispositivo. Si es suyo, inicie sesión de nuevo en él.
sessions-ended-subject = Se ha cerrado la sesión de sus dispositivos en { $product }
sessions-ended-heading = Se ha cerrado la sesión de sus dispositivos
sessions-ended-text = Se han cerrado sesiones de su cuenta de { $product }. Inicie sesión de nuevo donde lo necesite.
role-changed-subject = Su rol en { $product } ha cambiado
role-changed-heading = Su rol ha cambiado
role-changed-text = Un administrador ha cambiado lo que usted puede hacer en { $product }. La página de su cuenta muestra su rol.
role-changed-advice = Si no lo esperaba, consulte a su administrador.
security-advice = Si fue usted, no tiene que hacer nada. Si no, abra su cuenta, cierre la sesión de los dispositivos que no reconozca y avise a su administrador.
