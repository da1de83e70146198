## في كل رسالة

greeting = مرحبًا { $name }،
sent-to = أُرسلت إلى { $recipient } من { $product }
button-fails = إذا لم يستجب الزر، فانسخ هذا العنوان:
button-sign-in = تسجيل الدخول إلى { $product }
button-account = فتح حسابك
button-review = مراجعة الطلب
button-list = فتح القائمة
quoted = «{ $text }»
label-email = البريد
label-new-email = العنوان الجديد
label-name = الاسم
label-device = الجهاز
label-address = عنوان IP
label-time = الوقت
name-not-given = لم يُذكر
device-on = { $browser } على { $system }
device-unknown = جهاز غير معروف

## تسجيل الدخول

code-subject = رمزك في { $product } هو { $code_spaced }
code-heading = رمز تسجيل الدخول
code-text = أدخل هذا الرمز في الصفحة التي طلبته فيها. يصلح لمرة واحدة خلال { $minutes ->
    [zero] { $minutes } دقيقة
    [one] دقيقة واحدة
    [two] دقيقتين
    [few] { $minutes } دقائق
    [many] { $minutes } دقيقة
   *[other] { $minutes } دقيقة
}.
code-secret = لن يطلب منك أحد هذا الرمز أبدًا، ولا حتى نحن. لا تقرأه على أحد ولا ترسله إلى أحد.
code-and-link-subject = رمزك في { $product } هو { $code_spaced }
code-and-link-heading = رمز تسجيل الدخول
code-and-link-text = أدخل هذا الرمز في الصفحة التي طلبته فيها. يصلح لمرة واحدة خلال { $minutes ->
    [zero] { $minutes } دقيقة
    [one] دقيقة واحدة
    [two] دقيقتين
    [few] { $minutes } دقائق
    [many] { $minutes } دقيقة
   *[other] { $minutes } دقيقة
}.
code-and-link-secret = لن يطلب منك أحد هذا الرمز أو الرابط أبدًا، ولا حتى نحن. لا تشاركهما مع أحد.
magic-link-subject = رابط تسجيل الدخول إلى { $product }
magic-link-heading = رابط تسجيل الدخول
magic-link-text = افتح هذا الرابط في المتصفح الذي طلبته منه. يصلح لمرة واحدة خلال { $minutes ->
    [zero] { $minutes } دقيقة
    [one] دقيقة واحدة
    [two] دقيقتين
    [few] { $minutes } دقائق
    [many] { $minutes } دقيقة
   *[other] { $minutes } دقيقة
}.
magic-link-secret = لن يطلب منك أحد هذا الرابط أبدًا، ولا حتى نحن. لا تُعِد توجيهه إلى أحد.
link-too = أو افتح هذا الرابط في المتصفح نفسه:
requested-from = صدر هذا الطلب من:
not-you = لم تطلب ذلك؟
not-you-advice = يمكنك تجاهل هذه الرسالة. لا يستطيع أحد الدخول بدونها.

## إلى المشرفين

registration-subject = طلب حساب في { $product } من { $email }
registration-heading = طلب حساب جديد
registration-text = أثبت مقدّم الطلب أن العنوان له. أما بقية ما يذكره عن نفسه فلم يُتحقق منه.
registration-note = ملاحظة مقدّم الطلب بنصّها:
registration-advice = فتح الصفحة لا يقرر شيئًا. تصلك هذه الرسالة لأنك مشرف.
digest-subject = { $total ->
    [zero] لا طلبات أخرى لحساب في { $product } ({ $total })
    [one] طلب آخر لحساب في { $product }
    [two] طلبان آخران لحساب في { $product }
    [few] { $total } طلبات أخرى لحساب في { $product }
    [many] { $total } طلبًا آخر لحساب في { $product }
   *[other] { $total } طلب آخر لحساب في { $product }
}
digest-heading = طلبات حسابات أخرى
digest-text = { $total ->
    [zero] لا أحد ممن سجّلوا منذ { $since } ينتظر قرارك.
    [one] شخص واحد سجّل منذ { $since } ينتظر قرارك.
    [two] شخصان سجّلا منذ { $since } ينتظران قرارك.
    [few] { $total } أشخاص سجّلوا منذ { $since } ينتظرون قرارك.
    [many] { $total } شخصًا سجّلوا منذ { $since } ينتظرون قرارك.
   *[other] { $total } شخص سجّلوا منذ { $since } ينتظرون قرارك.
}
digest-more = { $more ->
    [zero] لا أحد غيرهم في قائمة الحسابات.
    [one] يوجد شخص آخر في قائمة الحسابات.
    [two] يوجد شخصان آخران في قائمة الحسابات.
    [few] يوجد { $more } آخرون في قائمة الحسابات.
    [many] يوجد { $more } آخرون في قائمة الحسابات.
   *[other] يوجد { $more } آخرون في قائمة الحسابات.
}
digest-advice = فتح أي صفحة لا يقرر شيئًا. تصلك هذه الرسالة لأنك مشرف.

## مصير الحساب

approved-subject = تمت الموافقة على حسابك في { $product }
approved-heading = تمت الموافقة على حسابك
approved-text = وافق أحد المشرفين على طلبك. يمكنك الآن تسجيل الدخول إلى { $product } بهذا العنوان.
rejected-subject = طلبك لحساب في { $product }
rejected-heading = لم تتم الموافقة على طلبك
rejected-text = رفض أحد المشرفين طلبك لحساب في { $product }.
rejected-advice = إذا كنت ترى أن في ذلك خطأ، فيُرجى مراجعة المشرف.
admin-note = ملاحظة من المشرف:
invitation-subject = أنت مدعو إلى { $product }
invitation-heading = أنت مدعو إلى { $product }
invitation-text = أنشأ «{ $inviter }» حسابًا لك. سجّل الدخول بهذا العنوان، { $recipient }، متى شئت.
invitation-advice = لا تحتاج إلى كلمة مرور: نرسل إليك رمزًا أو رابطًا في كل مرة تسجّل فيها الدخول. لم تكن تتوقع هذه الرسالة؟ يمكنك تجاهلها.
no-password-advice = لا تحتاج إلى كلمة مرور: نرسل إليك رمزًا أو رابطًا في كل مرة تسجّل فيها الدخول.

## أمان الحساب

new-device-subject = تسجيل دخول جديد إلى حسابك في { $product }
new-device-heading = جهاز جديد سجّل الدخول
new-device-text = استُخدم حسابك في { $product } على جهاز لم نره من قبل.
address-changed-subject = تغيّر عنوانك في { $product }
address-changed-heading = تغيّر عنوانك
address-changed-text = يستخدم حسابك في { $product } الآن عنوان بريد آخر. لن تصل الرموز والروابط إلى هذا العنوان بعد الآن.
address-changed-advice = إذا كنت أنت من فعل ذلك، فلا يلزمك شيء. وإلا فأبلغ المشرف فورًا: فقد لا تتمكن من تسجيل الدخول بعد الآن.
password-changed-subject = تغيّرت كلمة مرورك في { $product }
password-changed-heading = تغيّرت كلمة مرورك
password-changed-text = من الآن فصاعدًا لا تصلح إلا كلمة المرور الجديدة في { $product }. أما تسجيل الدخول بالبريد فيعمل كالسابق.
refresh-token-reused-subject = أنهينا إحدى جلساتك في { $product }
refresh-token-reused-heading = أنهينا إحدى جلساتك
refresh-token-reused-text = أُعيد استخدام رمز وصول لحسابك في { $product } بعد أن استُبدل بغيره. ربما نُسخ، ولذلك أخرجنا ذلك الجهاز. إذا كان جهازك فسجّل الدخول فيه من جديد.
sessions-ended-subject = أُخرجت أجهزتك من { $product }
sessions-ended-heading = أُخرجت أجهزتك
sessions-ended-text = أُنهيت جلسات لحسابك في { $product }. سجّل الدخول من جديد حيث تحتاج.
role-changed-subject = تغيّر دورك في { $product }
role-changed-heading = تغيّر دورك
role-changed-text = غيّر أحد المشرفين ما يمكنك فعله في { $product }. تعرض صفحة حسابك دورك.
role-changed-advice = إذا لم تكن تتوقع ذلك، فاسأل المشرف.
security-advice = إذا كنت أنت من فعل ذلك، فلا يلزمك شيء. وإلا فافتح حسابك، وأخرج الأجهزة التي لا تعرفها، وأبلغ المشرف.
