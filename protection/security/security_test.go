package security

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

func TestResolve(t *testing.T) {
	project := &protection.Project{Active: true, SpamScore: 5, Settings: protection.Settings{
		"minimumTimeActive": php.Bool(true), "ipAllowList": php.String("10.0.0.1"), "delayMultiplicator": php.Int(2), "delayTime": php.String("x"),
	}}
	guidelines := []protection.Guideline{
		{ID: 1, Priority: 1, Subnets: []string{"10.1.0.0/16"}, Settings: protection.Settings{"minimumTimeActive": php.Bool(false), "ipAllowList": php.String("*")}},
		{ID: 2, Priority: 5, Subnets: []string{"10.1.5.0/24"}, FormIDs: []string{"f"}, Settings: protection.Settings{
			"overrideSpamDetection": php.Bool(true), "spamStatus": php.Bool(false), "spamScore": php.Float(2.5)}},
		{ID: 3, Priority: 9, Settings: protection.Settings{"minimumTimeSeconds": php.Int(1)}},
		{ID: 4, Priority: 3, CountryCodes: []string{"CH"}, ASNumbers: []string{"64500"}, Settings: protection.Settings{"spamScore": php.Float(1)}},
		{ID: 5, Priority: 2, Subnets: []string{"192.0.2.1"}},
		{ID: 6, Priority: 2, FormPageURLs: []string{"https://a.example/", "*/contact"}, FormActionURLs: []string{"https://b.example/?"}},
	}
	for _, c := range []struct {
		visit Visit
		want  int64
	}{
		{Visit{IP: "10.2.0.1"}, 0},
		{Visit{IP: "10.1.0.1"}, 1},
		{Visit{IP: "10.1.5.1"}, 1},
		{Visit{IP: "10.1.5.1", FormID: "f"}, 2},
		{Visit{IP: "10.2.0.1", FormID: "f"}, 0},
		{Visit{IP: "192.0.2.1"}, 0},
		{Visit{IP: "10.2.0.1", Location: &protection.Localization{Country: "CH"}}, 4},
		{Visit{IP: "10.2.0.1", Location: &protection.Localization{ASNumber: 64500}}, 4},
		{Visit{IP: "10.2.0.1", Location: &protection.Localization{ASNumber: 64501}}, 0},
		{Visit{PageURL: "https://a.example/x?y"}, 6},
		{Visit{PageURL: "https://a.examplex"}, 0},
		{Visit{PageURL: "http://z/contact"}, 6},
		{Visit{PageURL: "http://z/contact/x"}, 0},
		{Visit{FormActionURL: "https://b.example/x"}, 6},
	} {
		if got := Resolve(project, guidelines, c.visit); got.Guideline != c.want {
			t.Errorf("%+v: guideline %d, want %d", c.visit, got.Guideline, c.want)
		}
	}
	plain := Resolve(project, guidelines, Visit{IP: "1.1.1.1"})
	if !plain.MinimumTimeActive || plain.MinimumTimeSeconds != 10 || plain.Delay.Multiplicator != 2 || plain.Delay.Duration != 60 || !plain.ProofOfWork.Dynamic ||
		!plain.Active || plain.SpamScore != 5 || !plain.Allowed("10.0.0.1") {
		t.Errorf("%+v", plain)
	}
	odd := &protection.Project{Settings: protection.Settings{"delayActive": php.Int(1), "lockoutActive": php.String("0"), "proofOfWorkActive": php.List(),
		"delayTime": php.String(" 20 "), "lockoutTime": php.Float(7.9), "delayMultiplicator": php.String("2.5"), "lockoutMultiplicator": php.String("x")}}
	if s := Resolve(odd, nil, Visit{}); !s.Delay.Active || s.Lockout.Active || s.ProofOfWork.Active || s.Delay.Duration != 20 || s.Lockout.Duration != 7 ||
		s.Delay.Multiplicator != 2.5 || s.Lockout.Multiplicator != 1.2 {
		t.Errorf("settings of other types: %+v", s)
	}
	if s := Resolve(project, guidelines, Visit{IP: "10.1.0.1"}); s.MinimumTimeActive || !s.Allowed("10.0.0.1") || s.Allowed("*") {
		t.Errorf("%+v", s)
	}
	if s := Resolve(project, guidelines, Visit{IP: "10.1.5.1", FormID: "f"}); s.Active || s.SpamScore != 2.5 {
		t.Errorf("%+v", s)
	}
	if s := Resolve(project, guidelines, Visit{Location: &protection.Localization{Country: "CH"}}); s.SpamScore != 5 {
		t.Error("a score counts without its override")
	}
}

func TestListed(t *testing.T) {
	const list = "10.0.0.1\r\n192.168.0.7/24,2001:db8::/32\n 10.0.0.9,172.016.000.0/012,9.9.9.9/"
	for ip, want := range map[string]bool{
		"10.0.0.1": true, "192.168.0.200": true, "192.168.1.1": false, "2001:db8:1::2": true, "10.0.0.9": false, "": false, "::ffff:192.168.0.1": false,
		"172.20.0.1": true, "172.32.0.1": false, "9.9.9.9": false,
	} {
		if Listed(list, ip) != want {
			t.Errorf("%q: %v", ip, !want)
		}
	}
}

func TestClientIP(t *testing.T) {
	for _, c := range []struct{ trusted, peer, forwarded, want string }{
		{"127.0.0.1", "127.0.0.1", "1.2.3.4, 5.6.7.8", "5.6.7.8"},
		{"127.0.0.1", "127.0.0.1", "1.2.3.4, 127.0.0.1", "1.2.3.4"},
		{"127.0.0.1", "127.0.0.1", "bad, 9.9.9.9:1234", "9.9.9.9"},
		{"127.0.0.1", "127.0.0.1", "[2001:DB8::1]:443", "2001:DB8::1"},
		{"127.0.0.1", "127.0.0.1", "2001:DB8:0:0::1", "2001:DB8:0:0::1"},
		{"127.0.0.1", "127.0.0.1", "", "127.0.0.1"},
		{"127.0.0.1", "127.0.0.1", "nonsense", "127.0.0.1"},
		{"127.0.0.1", "8.8.8.8", "1.2.3.4", "8.8.8.8"},
		{"127.0.0.1,10.0.0.0/8", "127.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"},
		{"REMOTE_ADDR", "8.8.8.8", "1.2.3.4", "1.2.3.4"},
		{"REMOTE_ADDR", "8.8.8.8", "", "8.8.8.8"},
		{"", "8.8.8.8", "1.2.3.4", "8.8.8.8"},
	} {
		p, unknown := ParseProxies(c.trusted)
		if got := p.ClientIP(c.peer, c.forwarded); got != c.want || unknown != nil {
			t.Errorf("%+v: %s %v", c, got, unknown)
		}
	}
	if _, unknown := ParseProxies("10.0.0.1, proxy.example"); !cmp.Equal(unknown, []string{"proxy.example"}) {
		t.Error(unknown)
	}
}

func TestRestrict(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	delay := Limit{Kind: protection.Delay, Active: true, Requests: 2, Duration: 4, Multiplicator: 1.5}
	if delay.Restrict(nil, 2, "h", now) != nil || (Limit{Requests: 2}).Restrict(nil, 9, "h", now) != nil {
		t.Fatal("restricted too early")
	}
	var r *protection.Restriction
	for i, want := range []int{4, 6, 9, 13} {
		r = delay.Restrict(r, 3, "h", now.Add(time.Duration(i)*time.Second))
		if got := int(r.ValidUntil.Sub(now) / time.Second); got != want || r.IPHash != "h" {
			t.Errorf("delay %d: %d seconds, want %d", i, got, want)
		}
	}
	lockout := Limit{Kind: protection.Lockout, Active: true, Duration: 10, Multiplicator: 2}
	r = nil
	for i, want := range []int{10, 10 + 20, 10 + 40, 10 + 80} {
		r = lockout.Restrict(r, 1, "h", now)
		if got := int(r.ValidUntil.Sub(now) / time.Second); got != want {
			t.Errorf("lockout %d: %d seconds, want %d", i, got, want)
		}
	}
	r.Duration = maxRestriction
	if got := lockout.Restrict(r, 1, "h", now); got.Duration != maxRestriction || r.Duration != maxRestriction {
		t.Errorf("%+v", got)
	}
	if got := (Limit{Active: true, Multiplicator: 0.1}).Restrict(&protection.Restriction{ID: 3, Duration: 5}, 0, "h", now); got.Duration != 0 || got.ID != 3 {
		t.Errorf("%+v", got)
	}
}

func TestProofOfWork(t *testing.T) {
	p := ProofOfWork{Complexity: 2, MaxComplexity: 3, Dynamic: true, Requests: 7}
	for n, want := range []int64{99, 227, 356, 484, 613, 741, 870, 999, 999} {
		if got := p.MaxNumber(int64(n)); got != want {
			t.Errorf("%d requests: %d, want %d", n, got, want)
		}
	}
	if got := (ProofOfWork{Complexity: 5}).MaxNumber(9); got != 99_999 {
		t.Error(got)
	}
	if got := (ProofOfWork{Dynamic: true, Complexity: -4, MaxComplexity: 99}).MaxNumber(0); got != 999_999_999_999_999 {
		t.Error(got)
	}
	seen := map[int64]bool{}
	for range 200 {
		seen[NewNumber(4)] = true
	}
	if len(seen) != 3 || !seen[1] || !seen[3] {
		t.Error(seen)
	}
	if got := (ProofOfWork{Dynamic: true, Requests: 1}).MaxNumber(0); got != 2 || NewNumber(got) != 1 {
		t.Errorf("at most %d, got %d", got, NewNumber(got))
	}
	token := &protection.SubmitToken{Token: "tok", ProofOfWorkResult: sign.ProofOfWork("tok", 42)}
	if !VerifyProofOfWork(token, 42).Valid || VerifyProofOfWork(token, 0).Valid || VerifyProofOfWork(&protection.SubmitToken{}, 0).Valid {
		t.Error("proof of work")
	}
	got, err := php.EncodeJSON(VerifyProofOfWork(&protection.SubmitToken{Token: "tok"}, 42).Value(), php.Default)
	if want := `{"valid":false,"data":{"expectedHash":null,"generatedHash":"1177d34ab6cb4a2a9e3cb27473f6f95b2297fc6f466ad7c7a44500ca57f23f6d"}}`; got != want || err != nil {
		t.Error(got, err)
	}
}

func TestTimeAndEqual(t *testing.T) {
	s := &Settings{MinimumTimeSeconds: 2, EqualNumber: 2}
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for elapsed, want := range map[time.Duration]string{
		0: `{"valid":false,"data":{"seconds":0,"minimumTimeSeconds":2}}`, 1999 * time.Millisecond: `{"valid":false,"data":{"seconds":1,"minimumTimeSeconds":2}}`,
		2 * time.Second: `{"valid":true,"data":{"seconds":2,"minimumTimeSeconds":2}}`,
	} {
		if got, err := php.EncodeJSON(s.VerifyMinimumTime(at, at.Add(elapsed)).Value(), php.Default); got != want || err != nil {
			t.Errorf("%v: %s %v", elapsed, got, err)
		}
	}
	if got, _ := php.EncodeJSON(s.VerifyEqual(3).Value(), php.Default); got != `{"valid":false,"data":{"allowed":2,"actual":3}}` || !s.VerifyEqual(2).Valid {
		t.Error(got)
	}
}

func TestHoneypot(t *testing.T) {
	for value, want := range map[string]bool{`""`: false, `null`: false, `false`: false, `"x"`: true, `"0"`: true, `0`: true, `[]`: true, `" "`: true} {
		fields, err := php.DecodeJSON(`[{"name":"a","value":"v"},{"name":"hp","value":` + value + `,"fieldPath":"input[text].hp"},{"name":"hp","value":"later"}]`)
		if err != nil {
			t.Fatal(err)
		}
		h := CheckHoneypot(fields, "hp", 5)
		marked, _ := h.Fields.Array().GetKey(php.IntKey(1))
		if kind, _ := marked.Get("type").Str(); kind != "honeypot" || h.Filled != want {
			t.Errorf("%s: filled %v, type %q", value, h.Filled, kind)
		}
		matched, err := php.EncodeJSON(h.Matched, php.PreserveZeroFraction)
		if wantMatch := `{"formData.input[text].hp":[{"type":"honeypot","value":"","rating":6.0,"uuid":""}]}`; err != nil || want != (matched == wantMatch) || !want && matched != "[]" {
			t.Errorf("%s: %s", value, matched)
		}
		if first, _ := fields.Array().GetKey(php.IntKey(1)); first.Array().Has("type") {
			t.Error("the caller's fields were changed")
		}
	}
	if h := CheckHoneypot(php.List(), "hp", 5); h.Filled || h.Matched.Len() != 0 {
		t.Error("a missing honeypot")
	}
}

// FuzzClientIP looks for panics, and for addresses that nobody sent.
func FuzzClientIP(f *testing.F) {
	f.Add("127.0.0.1,10.0.0.0/8,REMOTE_ADDR", "127.0.0.1", "[::1]:2, 1.2.3.4:5,,bad")
	f.Add("REMOTE_ADDR", ":: ", "0")
	f.Fuzz(func(t *testing.T, trusted, peer, forwarded string) {
		p, _ := ParseProxies(trusted)
		got := p.ClientIP(peer, forwarded)
		if got != peer && !strings.Contains(forwarded, got) {
			t.Errorf("%q is neither in %q nor %q", got, forwarded, peer)
		}
		if !p.Trusts(peer) && got != peer {
			t.Errorf("a peer without trust chose %q", got)
		}
		Listed(trusted, got)
	})
}
