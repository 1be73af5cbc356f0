// Browser widget of a mosparoctl protection node. It keeps the public contract of mosparo's widget: constructor, options,
// class names, input names, callbacks and events.
(function (root) {
  'use strict';

  var MESSAGES = {
    label: 'I agree that what I entered in this form is checked and stored to protect this website from spam.',
    accessibilityCheckingData: 'Your input is being checked. One moment, please.',
    accessibilityDataValid: 'Your input was accepted. You can send the form now.',
    accessibilityProtectedBy: 'This form is protected from spam by mosparo.',
    errorGotNoToken: 'The spam protection did not answer as expected. Please reload the page.',
    errorInternalError: 'Something went wrong. Please try again.',
    errorNoSubmitTokenAvailable: 'The form cannot be checked without the spam protection. Please reload the page.',
    errorSpamDetected: 'Something you entered looks like spam. Please change it and try again.',
    errorLockedOut: 'Too many attempts. You can try again after %datetime%.',
    errorDelay: 'That was a little too fast. Please wait %seconds% seconds.',
    hpLeaveEmpty: 'Leave this field empty.'
  };

  var DEFAULTS = {
    name: '', allowBrowserValidation: true, inputFieldSelector: '[name]:not(.mosparo__ignored-field)', designMode: false,
    loadCssResource: false, cssResourceUrl: '', requestSubmitTokenOnInit: true, customMessages: {}, language: null,
    isMultiStepForm: false, submitToken: null, isLastStep: false, forceInvisible: null,
    onBeforeGetFormData: null
  };
  ('GetFormData GetFieldValue CheckForm ResetState AbortSubmit SwitchToInvisible ValidateFormInvisible SubmitFormInvisible FormDataStored FormDataValid')
    .split(' ').forEach(function (name) { DEFAULTS['on' + name] = null; });
  DEFAULTS.doSubmitFormInvisible = null;

  var PREFIX = 'mosparo__';

  // searcher returns a function that looks for n in from..to with SHA-256(prefix + n) = target, and gives -1 without one. It
  // is self-contained because its source is also run in a worker. crypto.subtle is not used: it needs a secure context, and
  // a call for each short text takes longer than this.
  function searcher() {
    var K = [], H = [], fraction = function (x) { return ((x - Math.floor(x)) * 4294967296) | 0; };
    for (var candidate = 2; K.length < 64; candidate++) {
      var prime = true;
      for (var d = 2; d * d <= candidate; d++) if (candidate % d === 0) prime = false;
      if (!prime) continue;
      if (H.length < 8) H.push(fraction(Math.pow(candidate, 1 / 2)));
      K.push(fraction(Math.pow(candidate, 1 / 3)));
    }
    var w = new Int32Array(64), h = new Int32Array(8);
    function block(bytes, at) {
      var i, s0, s1, t1, t2, a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
      for (i = 0; i < 16; i++, at += 4) w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
      for (; i < 64; i++) {
        s0 = w[i - 15]; s1 = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (((s0 >>> 7) | (s0 << 25)) ^ ((s0 >>> 18) | (s0 << 14)) ^ (s0 >>> 3)) +
          (((s1 >>> 17) | (s1 << 15)) ^ ((s1 >>> 19) | (s1 << 13)) ^ (s1 >>> 10));
      }
      for (i = 0; i < 64; i++) {
        t1 = (k + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        t2 = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        k = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
      }
      h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += k;
    }
    return function (prefix, target, from, to) {
      var i, n, want = new Int32Array(8), head = new TextEncoder().encode(prefix);
      for (i = 0; i < 8; i++) want[i] = parseInt(target.substr(8 * i, 8), 16);
      for (n = from; n <= to; n++) {
        var digits = String(n), length = head.length + digits.length, bytes = new Uint8Array(((length + 72) >> 6) << 6);
        bytes.set(head);
        for (i = 0; i < digits.length; i++) bytes[head.length + i] = digits.charCodeAt(i);
        bytes[length] = 128;
        for (i = 0; i < 4; i++) bytes[bytes.length - 1 - i] = (length * 8) >>> (8 * i);
        h.set(H);
        for (i = 0; i < bytes.length; i += 64) block(bytes, i);
        for (i = 0; i < 8 && h[i] === want[i]; i++);
        if (i === 8) return n;
      }
      return -1;
    };
  }

  // solve calls done(n), or done(null) when no number fits. It returns a function that stops it.
  function solve(prefix, target, max, done) {
    var worker = null, stopped = false;
    function finish(n) {
      if (worker) worker.terminate();
      worker = null;
      if (!stopped) done(n < 0 ? null : n);
      stopped = true;
    }
    function here() {
      var search = searcher(), from = 0;
      (function next() {
        if (stopped) return;
        var n = search(prefix, target, from, Math.min(max, from + 1999));
        from += 2000;
        if (n >= 0 || from > max) finish(n); else setTimeout(next, 0);
      })();
    }
    try {
      var source = 'var s=(' + searcher + ')();onmessage=function(e){var d=e.data;postMessage(s(d[0],d[1],0,d[2]))}';
      var link = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
      worker = new Worker(link);
      worker.onmessage = function (e) { URL.revokeObjectURL(link); finish(e.data); };
      // The page's content security policy may forbid workers.
      worker.onerror = function (e) {
        e.preventDefault();
        worker = null;
        here();
      };
      worker.postMessage([prefix, target, max]);
    } catch (e) {
      worker = null;
      here();
    }
    return function () { stopped = true; finish(-1); };
  }

  function element(tag, className, parent, attributes) {
    var el = document.createElement(tag);
    if (className) el.className = PREFIX + className;
    for (var name in attributes || {}) el.setAttribute(name, attributes[name]);
    if (parent) parent.appendChild(el);
    return el;
  }

  function on(el, type, f) { el.addEventListener(type, f); }

  function digits() { return String(Math.random()).replace(/\D/g, '').slice(1, 15); }

  // call runs a callback of the options and tells whether there was one.
  function call(widget, name, argument) {
    var f = widget.options[name];
    if (typeof f === 'function') f(argument);
    return !!f;
  }

  function mosparo(containerId, url, uuid, publicKey, options) {
    this.url = url; this.uuid = uuid; this.publicKey = publicKey;
    this.options = Object.assign({}, DEFAULTS, options);
    if (this.options.forceInvisible === null) this.options.forceInvisible = this.options.isMultiStepForm && !this.options.isLastStep;
    this.messages = Object.assign({ locale: 'en' }, MESSAGES);
    this.metadata = {};
    this.id = digits();
    this.invisible = this.isLocked = this.awaitsToken = this.checkWhenUnlocked = false;
    this.stateResetted = true;
    this.requests = 0;
    this.checkedFormData = this.proofOfWorkNumber = this.stopProof = this.hpFieldElement = this.loaderContainerElement = null;
    this.containerElement = document.getElementById(containerId);
    this.formElement = this.containerElement && this.containerElement.closest('form');
    if (!this.formElement) {
      console.error('mosparo: no element #' + containerId + ' in a form.');
      return;
    }
    this.build();
    if (this.options.loadCssResource) {
      element('link', '', document.head, {
        rel: 'stylesheet', type: 'text/css', media: 'all', href: this.options.cssResourceUrl || url + '/resources/' + uuid + '.css'
      });
    }
    if (this.options.designMode) return;
    if (this.options.allowBrowserValidation) this.formElement.removeAttribute('novalidate');
    this.listen();
    if (this.options.requestSubmitTokenOnInit) this.requestSubmitToken();
  }

  Object.assign(mosparo.prototype, {
    build() {
      var box = this.containerElement, checkboxId = '_mosparo_checkboxField_' + this.id, hidden = { type: 'hidden', value: '' };
      box.textContent = '';
      // The texts need not be in the page's language.
      if (!box.hasAttribute('dir')) box.dir = 'auto';
      this.state('container', true);
      this.state(this.uuid, true);
      this.state('force-invisible-mode', !!this.options.forceInvisible);
      this.state('design-mode', !!this.options.designMode);
      var row = element('div', 'row', box), left = element('div', 'checkbox_column', row);
      this.checkboxFieldElement = element('input', '', left, { type: 'checkbox', value: '1', id: checkboxId, name: this.options.name || checkboxId });
      this.checkboxFieldElement.required = !this.options.designMode;
      this.checkboxElement = element('div', 'checkbox', left);
      element('div', 'icon-checkmark', this.checkboxElement);
      element('div', 'icon-failure', this.checkboxElement);
      hidden.name = '_mosparo_submitToken';
      this.submitTokenElement = element('input', 'submit-token', this.checkboxElement, hidden);
      hidden.name = '_mosparo_validationToken';
      this.validationTokenElement = element('input', 'validation-token', this.checkboxElement, hidden);
      var content = element('div', 'content_column', row);
      this.labelElement = element('label', 'label', content, { for: checkboxId });
      this.errorMessageElement = element('div', 'error-message', content);
      this.accessibleStatusElement = element('div', 'accessible-message', content, { 'aria-describedby': checkboxId });
      this.showTexts(false);
    },

    listen() {
      var self = this, form = this.formElement, box = this.checkboxFieldElement;
      // The form hears of its fields on their way down, so also of those that the page adds later.
      form.addEventListener('change', function (e) {
        if (e.target !== self.validationTokenElement && e.target.matches(self.options.inputFieldSelector)) self.resetState();
      }, true);
      on(form, 'submit', function (e) { self.gate(e); });
      function again() { self.resetState(); self.requestSubmitToken(); }
      on(form, 'reset', again);
      // A page that the back button brings back as it was left holds a token that was sent already.
      on(root, 'pageshow', function (e) { if (e.persisted && self.submitTokenElement.value) again(); });
      on(box, 'change', function () { self.checkForm(); });
      on(box, 'focus', function () { self.state('focus', true); });
      on(box, 'blur', function () { self.state('focus', false); });
      on(this.checkboxElement, 'click', function () { self.checkForm(); });
    },

    state(name, on) { this.containerElement.classList.toggle(PREFIX + name, on); },

    setLoading(on) {
      this.state('loading', on);
      this.checkboxFieldElement.setAttribute('aria-busy', on);
    },

    setChecked(on) {
      this.checkboxFieldElement.checked = on;
      this.state('checked', on);
      if (this.hpFieldElement) this.hpFieldElement.disabled = on;
      if (!on) this.validationTokenElement.value = '';
    },

    announce(text) {
      this.accessibleStatusElement.setAttribute('role', 'alert');
      this.accessibleStatusElement.textContent = text;
    },

    showElement(el, name, on) { if (el) el.classList.toggle(PREFIX + name + '-visible', on); },

    // showError replaces %name% by the value, which is put in a span so that a countdown can change it.
    showError(key, name, value) {
      var parts = this.getMessage(key).split('%' + name + '%'), box = this.errorMessageElement, span = null;
      box.textContent = parts[0];
      if (parts.length > 1) {
        span = element('span', '', box);
        span.textContent = value;
        box.appendChild(document.createTextNode(parts.slice(1).join('')));
      }
      this.showElement(box, 'error-message', true);
      this.state('invalid', true);
      this.checkboxFieldElement.setAttribute('aria-invalid', 'true');
      this.announce(box.textContent);
      return span;
    },

    hideError() {
      this.state('invalid', false);
      this.checkboxFieldElement.removeAttribute('aria-invalid');
      this.errorMessageElement.textContent = this.accessibleStatusElement.textContent = '';
      this.showElement(this.errorMessageElement, 'error-message', false);
    },

    // custom returns [text, locale] of the site's own message.
    custom(key) {
      var list = this.options.language ? [this.options.language] : navigator.languages || [];
      for (var i = 0; i < list.length; i++) {
        var locale = String(list[i]).replace('-', '_'), texts = (this.options.customMessages || {})[locale];
        if (texts && texts[key]) return [texts[key], locale];
      }
      return null;
    },

    getMessage(key) {
      var own = this.custom(key);
      return own ? own[0] : this.messages[key] || '';
    },

    showTexts(protectedBy) {
      var own = this.custom('label');
      this.containerElement.setAttribute('lang', own ? own[1] : this.messages.locale);
      this.labelElement.textContent = this.getMessage('label');
      if (protectedBy) element('span', 'accessible-message', this.labelElement).textContent = this.getMessage('accessibilityProtectedBy');
      if (this.loaderTextElement) this.loaderTextElement.textContent = this.getMessage('accessibilityCheckingData');
      if (this.hpFieldElement) this.hpFieldElement.title = this.getMessage('hpLeaveEmpty');
    },

    emit(name, detail, target, quiet) {
      (target || this.formElement).dispatchEvent(new CustomEvent(name, { bubbles: !quiet, detail: detail === undefined ? null : detail }));
    },

    // send posts a form and calls done(reply), or failed() without a usable one. Once there is a newer request neither is
    // called: a late reply says nothing about what the form holds now.
    send(path, data, done, failed) {
      var self = this, xhr = new XMLHttpRequest(), pairs = [], number = ++this.requests;
      data = Object.assign({}, data, { publicKey: this.publicKey });
      for (var key in data) pairs.push(encodeURIComponent(key) + '=' + encodeURIComponent(data[key]));
      xhr.open('POST', this.url + '/api/v1/frontend/' + path);
      xhr.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
      xhr.onload = function () {
        var reply = null;
        try { reply = xhr.status === 200 ? JSON.parse(xhr.responseText) : null; } catch (e) { reply = null; }
        if (number !== self.requests) return;
        if (reply && typeof reply === 'object') done(reply); else failed();
      };
      xhr.onerror = function () { if (number === self.requests) failed(); };
      xhr.send(pairs.join('&'));
    },

    requestSubmitToken(token) {
      var self = this, form = this.formElement, action = form.getAttribute('action'), page = location.href;
      if (action === null) action = page;
      else if (action[0] === '/') action = location.origin + action;
      else if (/^[?&#]/.test(action)) action = page + action;
      var data = {
        pageTitle: document.title, pageUrl: page, formActionUrl: action, formId: form.getAttribute('id') || '', htmlLanguage: document.documentElement.lang
      };
      token = token || this.options.submitToken;
      if (token) data.submitToken = token;
      if (this.options.language != null) data.language = this.options.language;
      this.dropProof();
      this.hideError();
      this.setLoading(true);
      this.checkWhenUnlocked = false;
      this.awaitsToken = true;
      this.send('request-submit-token', data, function (r) { self.gotToken(r); }, function () { self.fail('errorInternalError'); });
    },

    fail(key) {
      this.awaitsToken = this.checkWhenUnlocked = false;
      this.setLoading(false);
      this.setChecked(false);
      this.showError(key);
      this.hideLoader();
    },

    gotToken(r) {
      this.awaitsToken = false;
      if (r.messages) Object.assign(this.messages, r.messages);
      if ((r.invisible || this.options.forceInvisible) && !this.invisible) this.switchToInvisible();
      this.showTexts(r.showLogo && !this.invisible);
      if (r.submitToken) {
        this.submitTokenElement.value = r.submitToken;
        this.unlock();
        if (r.honeypotFieldName) this.addHoneypot(r.honeypotFieldName);
        if (r.proofOfWorkResult && (!this.options.isMultiStepForm || this.options.isLastStep)) this.prove(r.submitToken, r.proofOfWorkResult, r.proofOfWorkMaxNumber);
        else this.ready();
      } else if (r.security) this.secure(r);
      else this.fail('errorGotNoToken');
    },

    unlock() {
      clearTimeout(this.timer);
      this.isLocked = false;
    },

    // ready lets the visitor go on, with the check if the box was ticked meanwhile.
    ready() {
      this.setLoading(false);
      if (this.checkWhenUnlocked) this.checkForm();
    },

    dropProof() {
      if (!this.stopProof) return;
      this.stopProof();
      this.stopProof = null;
      this.isLocked = false;
    },

    prove(token, target, max) {
      var self = this;
      this.dropProof();
      this.isLocked = true;
      this.proofOfWorkNumber = null;
      this.stopProof = solve(token, target, max, function (n) {
        self.proofOfWorkNumber = n;
        self.stopProof = null;
        self.isLocked = false;
        self.ready();
      });
    },

    addHoneypot(name) {
      var self = this, style = 'position:absolute;top:-9999px;left:-9999px;width:0;height:0;opacity:0;border:0;padding:0;background:transparent;color:transparent';
      if (this.hpFieldElement) return;
      this.hpFieldElement = element('input', '', this.formElement, {
        type: 'text', name: name, autocomplete: 'one-time-code', tabindex: '-1', title: this.getMessage('hpLeaveEmpty'), 'aria-hidden': 'true'
      });
      style.split(';').forEach(function (rule) { self.hpFieldElement.style.setProperty(rule.split(':')[0], rule.split(':')[1], 'important'); });
      on(this.hpFieldElement, 'change', function () { self.resetState(); });
    },

    switchToInvisible() {
      var button = this.formElement.querySelector('[type="submit"]');
      this.invisible = true;
      this.formElement.classList.add('mosparo__form-with-invisible-box');
      this.checkboxFieldElement.required = false;
      this.checkboxFieldElement.tabIndex = -1;
      this.loaderContainerElement = element('div', 'loader-container', this.containerElement);
      var inner = element('div', 'loader-inner-container', this.loaderContainerElement);
      element('div', 'loader-circle', inner);
      this.loaderTextElement = element('div', 'loader-text', inner);
      if (button) {
        if (!button.id) button.id = 'button_' + digits();
        this.accessibleStatusElement.setAttribute('aria-describedby', button.id);
      }
      this.emit('switch-to-invisible');
      call(this, 'onSwitchToInvisible');
    },

    hideLoader() {
      this.showElement(this.loaderContainerElement, 'loader', false);
    },

    // secure handles the replies that hold a visitor up.
    secure(r) {
      var self = this, left = r.forSeconds, span;
      this.unlock();
      this.isLocked = true;
      this.checkWhenUnlocked = false;
      this.setChecked(false);
      if (r.messages) Object.assign(this.messages, r.messages);
      if (r.invisible && !this.invisible) this.switchToInvisible();
      this.hideLoader();
      if (r.type !== 'delay') {
        this.setLoading(false);
        this.showError('errorLockedOut', 'datetime', new Date(r.until).toLocaleString());
        return;
      }
      this.setLoading(true);
      span = this.showError('errorDelay', 'seconds', left);
      (function tick() {
        self.timer = setTimeout(function () {
          left--;
          if (span) span.textContent = Math.max(0, left);
          if (left > 0) return tick();
          self.isLocked = false;
          self.hideError();
          self.timer = setTimeout(function () { self.requestSubmitToken(); }, 1000);
        }, 1000);
      })();
    },

    checkForm() {
      var self = this, options = this.options, last = !options.isMultiStepForm || options.isLastStep;
      if (this.isLocked || this.awaitsToken) {
        // A tick while the token is on its way, or while the proof of work runs, counts when that is done.
        this.checkboxFieldElement.checked = false;
        this.checkWhenUnlocked = this.awaitsToken || !!this.stopProof;
        return;
      }
      this.checkWhenUnlocked = false;
      if (!this.submitTokenElement.value) return this.fail('errorNoSubmitTokenAvailable');
      this.setChecked(false);
      this.hideError();
      this.stateResetted = false;
      this.setLoading(true);
      this.announce(this.getMessage('accessibilityCheckingData'));
      var data = { formData: JSON.stringify(this.getFormData()), submitToken: this.submitTokenElement.value };
      this.checkedFormData = data.formData;
      if (this.proofOfWorkNumber !== null) data.proofOfWorkNumber = this.proofOfWorkNumber;
      this.emit('collect-request-data', data);
      if (Object.keys(this.metadata).length) data.metadata = JSON.stringify(this.metadata);
      this.send(last ? 'check-form-data' : 'store-form-data', data, function (r) {
        self.setLoading(false);
        if (last) self.gotCheck(r); else self.gotStored(r);
        self.hideLoader();
      }, function () { self.fail('errorInternalError'); });
    },

    accept() {
      this.setChecked(true);
      if (!this.invisible) this.announce(this.getMessage('accessibilityDataValid'));
    },

    gotCheck(r) {
      // The data were changed during the check, so the box stays open. Invisibly, the next submit finds out and checks again.
      if (r.valid && this.stateResetted && !this.invisible) return;
      if (r.valid) {
        this.accept();
        this.validationTokenElement.value = r.validationToken || '';
      } else if (r.security) this.secure(r);
      else {
        this.setChecked(false);
        // An error is mostly a token that was used already, or is too old.
        this.showError(r.error ? 'errorGotNoToken' : 'errorSpamDetected');
      }
      this.emit('form-checked', { valid: r.valid });
      call(this, 'onCheckForm', r.valid);
      if (r.valid && !call(this, 'onFormDataValid') && this.invisible) this.submitInvisible();
    },

    gotStored(r) {
      if (r.result) this.accept();
      else this.showError('errorGotNoToken');
      // Without a result a submit would only come back here.
      if (!call(this, 'onFormDataStored') && this.invisible && r.result) this.submitInvisible();
    },

    submitInvisible() {
      var button = this.formElement.querySelector('[type="submit"]');
      this.emit('submit-form-invisible');
      call(this, 'onSubmitFormInvisible');
      if (call(this, 'doSubmitFormInvisible')) return;
      if (button) button.click();
      else HTMLFormElement.prototype.submit.call(this.formElement); // a field may be named submit
    },

    gate(e) {
      var ok = this.verifyCheckedFormData();
      if (this.invisible ? ok && this.checkboxFieldElement.checked : ok) return;
      e.preventDefault();
      e.stopImmediatePropagation();
      if (this.invisible) {
        this.showElement(this.loaderContainerElement, 'loader', true);
        this.emit('validate-form-invisible');
        call(this, 'onValidateFormInvisible');
        this.checkForm();
        if (this.isLocked && !this.stopProof) this.hideLoader();
        return;
      }
      this.emit('submit-aborted');
      call(this, 'onAbortSubmit');
      this.resetState();
    },

    resetState() {
      if (this.stateResetted) return;
      this.stateResetted = true;
      this.checkedFormData = null;
      this.setChecked(false);
      if (!this.isLocked) this.hideError();
      this.emit('state-reseted', null, null, true);
      call(this, 'onResetState');
    },

    getFormData() {
      var self = this, form = this.formElement, fields = [], ignored = [], seen = {}, index = {};
      function own(name) { return name.indexOf('_mosparo_') === 0; }
      function ignore(name) { if (ignored.indexOf(name) < 0) ignored.push(name); }
      this.emit('before-get-form-data');
      call(this, 'onBeforeGetFormData', form);
      form.querySelectorAll(this.options.inputFieldSelector).forEach(function (el) {
        var name = el.getAttribute('name'), path = el.tagName.toLowerCase();
        if (!name || own(name) || el.value === undefined) return;
        seen['$' + name] = true;
        if (path === 'input' || path === 'button') {
          var type = el.getAttribute('type');
          if (/^(submit|reset|button)$/.test(type)) return;
          if (/^(password|file|hidden|checkbox|radio)$/.test(type)) return ignore(name);
          path += '[' + type + ']';
        }
        path += '.' + name;
        self.emit('before-get-field-value', null, el);
        var value = el.value, list = name.length > 2 && name.indexOf('[]') === name.length - 2;
        if (typeof self.options.onGetFieldValue === 'function') value = self.options.onGetFieldValue(el, value);
        if (list) {
          name = name.slice(0, -2);
          value = value === '' ? [] : [value];
        }
        if (path.indexOf('select.') === 0 && el.hasAttribute('multiple')) {
          value = Array.prototype.filter.call(el.options, function (o) { return o.selected; }).map(function (o) { return o.value; });
        }
        var known = index['$' + name];
        if (known === undefined) {
          index['$' + name] = fields.push({ name: name, value: value, fieldPath: path }) - 1;
        } else fields[known].value = [].concat(fields[known].value, value);
      });
      form.querySelectorAll('[name]').forEach(function (el) {
        var name = el.getAttribute('name');
        if (name && !own(name) && !seen['$' + name]) ignore(name);
      });
      var data = { fields: fields, ignoredFields: ignored };
      return (typeof this.options.onGetFormData === 'function' && this.options.onGetFormData(form, data)) || data;
    },

    verifyCheckedFormData() { return this.checkedFormData !== null && this.checkedFormData === JSON.stringify(this.getFormData()); },
    getSubmitToken() { return this.submitTokenElement.value; },
    getValidationToken() { return this.validationTokenElement.value; }
  });

  root.mosparo = mosparo;
})(window);
