// Runs in the page of the browser test. Each step throws when something is not as websites expect it; the outcome is posted to /done.
(async function () {
  const out = [];
  const form = document.getElementById('form'), box = document.getElementById('box');
  const events = [];
  ['before-get-form-data', 'collect-request-data', 'form-checked', 'state-reseted', 'submit-aborted', 'switch-to-invisible', 'validate-form-invisible', 'submit-form-invisible']
    .forEach(n => form.addEventListener(n, () => events.push(n)));
  function check(ok, what) { if (!ok) throw new Error(what); }
  function same(got, want, what) { if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(what + ': ' + JSON.stringify(got) + ', want ' + JSON.stringify(want)); }
  async function until(f, what) {
    for (let i = 0; i < 500; i++) { if (f()) return; await new Promise(r => setTimeout(r, 20)); }
    throw new Error('waited in vain: ' + what);
  }
  const has = c => box.classList.contains('mosparo__' + c);
  async function api(path) { return (await fetch(path)).json(); }
  async function step(name, f) { await f(); out.push(name); }
  let sent = 0, answers = 0;
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (body) { this.addEventListener('loadend', () => answers++); send.call(this, body); };
  const seen = el => el.getBoundingClientRect().height > 0 && el.checkVisibility();

  try {
    let m;
    await step('missing container', () => { new mosparo('nowhere', '', 'u', 'k'); });
    await step('build', async () => {
      m = new mosparo('box', '', 'uuid-1', 'key', { loadCssResource: true });
      check(has('container') && box.classList.contains('mosparo__uuid-1') && has('loading'), 'classes ' + box.className);
      form.addEventListener('submit', e => { e.preventDefault(); sent++; }); // as a site's own code does, after the widget
      const c = m.checkboxFieldElement;
      check(c.required && c.value === '1' && /^_mosparo_checkboxField_\d{1,14}$/.test(c.id) && c.name === c.id, 'checkbox');
      check(box.querySelector('label.mosparo__label').htmlFor === c.id, 'label');
      check(!form.hasAttribute('novalidate'), 'novalidate');
      check(document.querySelector('link[href="/resources/uuid-1.css"]'), 'style sheet');
      check(form.elements._mosparo_submitToken && form.elements._mosparo_validationToken, 'hidden inputs');
    });
    await step('token', async () => {
      // A tick while the proof of work runs is not lost.
      await until(() => m.getSubmitToken() !== '', 'token');
      check(m.isLocked, 'locked while the proof runs');
      m.checkboxFieldElement.click();
      check(!m.checkboxFieldElement.checked, 'ticked while locked');
      await until(() => has('checked'), 'check after the proof');
      const asked = await api('/asked');
      same(Object.keys(asked.token), ['formActionUrl', 'formId', 'htmlLanguage', 'pageTitle', 'pageUrl', 'publicKey'], 'parameters');
      same([asked.token.formActionUrl, asked.token.formId, asked.token.htmlLanguage], [location.origin + '/send', 'form', 'en-GB'], 'values');
      same(asked.proof, 'right', 'proof of work');
      check(box.lang === 'xx' && m.labelElement.firstChild.textContent === 'Label <b>', 'texts');
      check(m.labelElement.querySelector('.mosparo__accessible-message').textContent === 'Protected', 'protected by');
      check(m.accessibleStatusElement.getAttribute('role') === 'alert' && m.accessibleStatusElement.textContent === 'Valid', 'status');
      check(m.getValidationToken() === 'validation' && m.checkboxFieldElement.checked, 'accepted');
      check(form.elements.hp.disabled && form.elements.hp.tabIndex === -1 && form.elements.hp.offsetLeft < -9000, 'honeypot');
      check(form.lastElementChild === form.elements.hp, 'honeypot is the last child');
    });
    await step('form data', async () => {
      const data = m.getFormData();
      same(data.fields, [
        { name: 'x', value: '1', fieldPath: 'input[null].x' }, { name: 'a', value: 'one', fieldPath: 'input[text].a' }, { name: 'T', value: 't', fieldPath: 'input[TEXT].T' },
        { name: 'b', value: 'B', fieldPath: 'button[null].b' }, { name: 'ta', value: 'l1\nl2', fieldPath: 'textarea.ta' }, { name: 'sel', value: 's2', fieldPath: 'select.sel' },
        { name: 'multi', value: ['m1', 'm3'], fieldPath: 'select.multi' }, { name: 'arr', value: ['x', 'y'], fieldPath: 'input[text].arr[]' },
        { name: 'emptyarr', value: [], fieldPath: 'input[text].emptyarr[]' }, { name: 'k[a]', value: 'kv', fieldPath: 'input[text].k[a]' },
        { name: 'dup', value: ['d1', 'd2'], fieldPath: 'input[text].dup' }, { name: 'out', value: 'o', fieldPath: 'output.out' }, { name: 'off', value: 'dis', fieldPath: 'input[text].off' },
        { name: 'hp', value: '', fieldPath: 'input[text].hp' }
      ], 'fields');
      same(data.ignoredFields, ['pw', 'h', 'c', 'editable', 'ign'], 'ignored');
    });
    await step('submit gate', async () => {
      form.requestSubmit(form.querySelector('[type=submit]'));
      same(sent, 1, 'submitted');
      form.elements.a.value = 'two'; // without an event
      form.requestSubmit(form.querySelector('[type=submit]'));
      same(sent, 1, 'submitted changed data');
      check(events.includes('submit-aborted') && events.includes('state-reseted') && !has('checked'), 'reset');
      check(m.getValidationToken() === '' && !form.elements.hp.disabled && m.getSubmitToken() !== '', 'tokens after reset');
    });
    await step('keyboard', async () => {
      m.checkboxFieldElement.focus();
      check(has('focus'), 'focus class');
      m.checkboxFieldElement.click(); // what the space bar does
      await until(() => has('checked'), 'check');
      m.checkboxFieldElement.blur();
      check(!has('focus'), 'focus class after blur');
    });
    await step('change resets', () => {
      form.elements.a.value = 'three';
      form.elements.a.dispatchEvent(new Event('change', { bubbles: true }));
      check(!has('checked') && !m.checkboxFieldElement.checked, 'still checked');
      check(m.accessibleStatusElement.textContent === '', 'still told to be accepted');
    });
    await step('a field that was added', async () => {
      m.checkForm();
      await until(() => has('checked'), 'check');
      form.elements.ta.insertAdjacentHTML('afterend', '<input type="text" name="late">');
      form.elements.late.value = 'v';
      form.elements.late.dispatchEvent(new Event('change'));
      form.elements.late.remove();
      check(!has('checked'), 'still checked');
    });
    await step('change during the check', async () => {
      m.checkForm();
      form.elements.a.dispatchEvent(new Event('change', { bubbles: true }));
      await until(() => !has('loading'), 'answer');
      check(!has('checked') && !m.checkboxFieldElement.checked && m.getValidationToken() === '', 'data that were not checked are accepted');
      box.querySelector('.mosparo__checkbox').click();
      await until(() => has('checked'), 'second check');
    });
    await step('a late answer', async () => {
      form.elements.a.value = 'held';
      m.checkForm();
      form.elements.a.value = 'one';
      m.checkForm();
      await until(() => has('checked'), 'the answer to the newer check');
      const before = answers;
      await api('/release');
      await until(() => answers > before, 'the answer to the older check');
      check(has('checked') && !has('invalid') && m.checkboxFieldElement.checked, 'the answer to the older check counts');
    });
    await step('a token that was sent already', async () => {
      form.elements.a.value = 'used';
      m.checkForm();
      await until(() => has('invalid'), 'error');
      same(m.errorMessageElement.textContent, 'Reload', 'message');
    });
    await step('back to the page', async () => {
      form.elements.a.value = 'one';
      m.checkForm();
      await until(() => has('checked'), 'check');
      const before = answers;
      window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false }));
      check(has('checked'), 'a page that is shown for the first time');
      window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
      check(!has('checked') && m.getValidationToken() === '', 'still checked');
      await until(() => answers > before && !has('loading'), 'a new token');
    });
    await step('spam', async () => {
      form.elements.a.value = 'spam';
      let verdict;
      m.options.onCheckForm = v => { verdict = v; };
      form.addEventListener('collect-request-data', e => { e.detail.extra = 'e'; }, { once: true });
      m.metadata = { k: 'v' };
      box.querySelector('.mosparo__checkbox').click();
      await until(() => has('invalid'), 'refusal');
      const asked = await api('/asked');
      same([asked.check.extra, asked.check.metadata], ['e', '{"k":"v"}'], 'request');
      check(verdict === false && m.errorMessageElement.textContent === 'Spam' && m.errorMessageElement.classList.contains('mosparo__error-message-visible'), 'message');
      check(m.checkboxFieldElement.getAttribute('aria-invalid') === 'true' && m.accessibleStatusElement.textContent === 'Spam', 'accessible message');
    });
    await step('lockout', async () => {
      form.elements.a.value = 'lockout';
      form.elements.a.dispatchEvent(new Event('change'));
      m.checkForm();
      await until(() => m.isLocked, 'lockout');
      check(/^Locked until .*20\d\d/.test(m.errorMessageElement.textContent), m.errorMessageElement.textContent);
      m.isLocked = false;
    });
    await step('server error', async () => {
      form.elements.a.value = 'error';
      m.checkForm();
      await until(() => m.errorMessageElement.textContent === 'Internal', 'error message');
      form.elements.a.value = 'garbage';
      m.checkForm();
      await until(() => !has('loading') && has('invalid'), 'an answer that is no JSON');
    });
    await step('form reset', async () => {
      form.elements.a.value = 'one';
      const before = m.getSubmitToken();
      let tokens = 0;
      m.gotToken = function (r) { tokens++; return mosparo.prototype.gotToken.call(this, r); };
      form.reset();
      m.checkboxFieldElement.click();
      form.reset(); // takes the tick back that waits for the token
      await until(() => m.proofOfWorkNumber === 2500 && !m.isLocked && !has('loading'), 'a new proof of work');
      same(tokens, 1, 'tokens that count');
      check(!has('invalid') && !has('checked') && m.getSubmitToken() === before, 'after the reset');
    });
    await step('a slow token', async () => {
      await api('/mode?is=held');
      form.reset();
      m.checkboxFieldElement.click();
      check(!has('invalid') && has('loading'), 'a tick before the token comes is refused');
      await api('/release');
      await until(() => has('checked'), 'the check once the token is there');
    });
    await step('own texts', () => {
      m.options.customMessages = { fr_CH: { label: 'À moi' } };
      m.options.language = 'fr-CH';
      m.showTexts(false);
      check(m.getMessage('label') === 'À moi' && box.lang === 'fr_CH' && m.getMessage('errorDelay') === 'Wait %seconds%!', 'own texts');
      m.options.customMessages = { he: { label: 'שלום' } };
      m.options.language = 'he';
      m.showTexts(false);
      const column = box.querySelector('.mosparo__checkbox_column');
      check(column.getBoundingClientRect().left > m.labelElement.getBoundingClientRect().right, 'the box is not at the start of a line from right to left');
      m.options.language = null;
      m.showTexts(false);
      check(column.getBoundingClientRect().right < m.labelElement.getBoundingClientRect().left, 'the box is not at the start of a line');
    });
    await step('delay', async () => {
      await api('/mode?is=delay');
      m.requestSubmitToken('t0');
      await until(() => m.errorMessageElement.textContent === 'Wait 2!', 'delay message');
      same((await api('/asked')).token.submitToken, 't0', 'token of the argument');
      check(m.isLocked && m.errorMessageElement.querySelector('span').textContent === '2', 'locked');
      await api('/mode?is=invisible');
      await until(() => m.invisible, 'a new token after the delay');
    });
    await step('invisible', async () => {
      await until(() => !has('loading'), 'token');
      check(form.classList.contains('mosparo__form-with-invisible-box') && !m.checkboxFieldElement.required, 'form');
      check(m.loaderContainerElement.querySelector('.mosparo__loader-text').textContent === 'Checking', 'loader text');
      check(m.accessibleStatusElement.getAttribute('aria-describedby') === form.querySelector('[type=submit]').id && /^button_\d+$/.test(form.querySelector('[type=submit]').id), 'described by');
      form.elements.a.value = 'fine';
      sent = 0;
      form.requestSubmit(form.querySelector('[type=submit]'));
      check(sent === 0 && m.loaderContainerElement.classList.contains('mosparo__loader-visible'), 'loader');
      await until(() => sent === 1, 'submitted by itself');
      check(!m.loaderContainerElement.classList.contains('mosparo__loader-visible'), 'loader is gone');
      ['switch-to-invisible', 'validate-form-invisible', 'submit-form-invisible'].forEach(n => check(events.includes(n), n));
    });
    await step('refused invisibly', async () => {
      const button = form.querySelector('[type=submit]');
      sent = 0;
      form.elements.a.value = 'spam';
      form.requestSubmit(button);
      await until(() => has('invalid'), 'refusal');
      check(seen(m.errorMessageElement) && m.errorMessageElement.textContent === 'Spam', 'the reason is not to be seen');
      check(seen(m.accessibleStatusElement) && m.accessibleStatusElement.textContent === 'Spam', 'the reason is not to be heard');
      check(!seen(m.labelElement) && !seen(m.checkboxElement), 'the box is to be seen');
      form.elements.a.value = 'lockout';
      form.requestSubmit(button);
      await until(() => m.isLocked, 'lockout');
      form.reset(); // asks for a token, and gets one
      await until(() => !has('loading'), 'token');
      form.elements.a.value = 'fine';
      form.requestSubmit(button);
      await until(() => sent === 1, 'submitted after the lockout');
    });
    await step('multi step', async () => {
      document.body.insertAdjacentHTML('beforeend', '<form id="form2"><input name="z" value="1" type="text"><div id="box2"></div><button type="submit">Go</button></form>');
      let stored = false;
      const s = new mosparo('box2', '', 'uuid-1', 'key', { isMultiStepForm: true, name: 'own', onFormDataStored: () => { stored = true; } });
      check(s.checkboxFieldElement.name === 'own' && box2.classList.contains('mosparo__force-invisible-mode'), 'options');
      await until(() => s.invisible && s.getSubmitToken(), 'token');
      check(!s.isLocked, 'a proof of work in a step that is not the last');
      s.checkForm();
      await until(() => stored, 'stored');
      same((await api('/asked')).stored, '{"fields":[{"name":"z","value":"1","fieldPath":"input[text].z"}],"ignoredFields":["own"]}', 'stored data');
      s.options.onFormDataStored = null;
      await api('/mode?is=expired');
      const before = answers, form2 = document.getElementById('form2');
      form2.elements.z.value = '2';
      form2.requestSubmit(form2.querySelector('[type=submit]'));
      await until(() => box2.classList.contains('mosparo__invalid'), 'the error of data that could not be stored');
      check(answers === before + 1 && s.errorMessageElement.textContent === 'Reload', 'sent again and again');
      await api('/mode?is=invisible');
    });
    await step('second form', async () => {
      document.body.insertAdjacentHTML('beforeend', '<form id="form4" action="/nowhere" onsubmit="return false"><input name="submit" type="text" value="s"><input name="a" type="text" value="one">' +
        '<input name="pic" type="file"><input name="[]" type="text" value="v"><div id="box4"></div></form>');
      const f = document.getElementById('form4'), d = new mosparo('box4', '', 'uuid-2', 'key', { language: undefined });
      await until(() => d.invisible && d.getSubmitToken(), 'token');
      check(!('language' in (await api('/asked')).token), 'a language that is not set');
      check(d.id !== m.id && d.checkboxFieldElement.form === f && f.querySelectorAll('.mosparo__container').length === 1, 'forms are mixed up');
      same(d.getFormData(), { fields: [{ name: 'submit', value: 's', fieldPath: 'input[text].submit' }, { name: 'a', value: 'one', fieldPath: 'input[text].a' },
        { name: '[]', value: 'v', fieldPath: 'input[text].[]' }], ignoredFields: ['pic'] }, 'fields');
      let submits = 0;
      HTMLFormElement.prototype.submit = function () { if (this === f) submits++; };
      d.checkForm();
      await until(() => submits === 1, 'submitted without a button');
    });
    await step('design mode', () => {
      document.body.insertAdjacentHTML('beforeend', '<form id="form3" novalidate><div id="box3"></div></form>');
      const d = new mosparo('box3', '', 'uuid-1', 'key', { designMode: true });
      check(box3.classList.contains('mosparo__design-mode') && !d.checkboxFieldElement.required && d.getSubmitToken() === '', 'design mode');
    });
  } catch (e) {
    out.push('FAILED: ' + e.message);
  }
  await fetch('/done', { method: 'POST', body: JSON.stringify(out) });
})();
