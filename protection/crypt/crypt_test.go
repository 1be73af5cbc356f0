package crypt

import (
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

const nonceHex = "404142434445464748494a4b4c4d4e4f5051525354555657"

func testKey(t *testing.T) Key {
	t.Helper()
	k, err := ParseKey("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// vectors were written by PHP's own classes; the first ones with a chosen nonce, so that writing can be compared too.
var vectors = []struct{ plain, stored string }{
	{"a", nonceHex + "|0c2519a9bf06c61d83ffa7fb548d39ec2b"},
	{"hT2sYkq7X0m5w1Qz9c4VbN8rLpE3uJ6aGdFiKoSyZxM", nonceHex + "|18cb2fd939831b18a845de3e8e9f30c82243670a633aca1d9e691c541fb80b8bf75472020f0d67baa8a567f98c93b53593502f78a5d8957d033451"},
	{"private-key-example", "47d01a2edd89f444a483d3969aa2cf743afc6a4064a34303|a4a780f87fc5205ee3e62d826174d30730b12a2755758dce9f355e71651040818c8371"},
	{"private-key-example", "67e412c21a3e1317b747fa30bf9789f471d22f542987bc21|96c7be3dec6bbaf5700cecfb1ef55907a5e0de68c2251149f3b97ef60ec9ba2bb7b3c5"},
	{`{"view":"list","n":5}`, "0647e0f9236324560c00fb8393d22dc2eda0ddfdb2bfcbc7|dfb73f9e491acb405d8a241564e2461806d9c98a79b7b8c6122d0e8bf0547559c0883570a6"},
	{`{"a":1,"b":0.1,"c":true,"d":[],"e":"\ud83d\ude00<&'>"}`, nonceHex + "|d7eb70075a64287dae0621142a3a076f3135345b00609708a47b4b5146b876d3ad157c201f363ae4c6b100f0a284af76b1165333b2c2a23c6a28400c55976a1fbc92045385f3"},
	{`{"formData":[{"name":"first-name","value":"Zo\u00eb \/ \"x\"","fieldPath":"input[text].first-name"}],"client":[{"name":"ipAddress","value":"192.0.2.1","fieldPath":"ipAddress"},{"name":"asNumber","value":64500,"fieldPath":"asNumber"},{"name":"country","value":null,"fieldPath":"country"}]}`,
		nonceHex + "|d3c9185d0b0adc11d9b629da288d547231353316483cff4bb238535b33f2789faf5a2376576139a196a656e797b8ee31f6184b678fdbb3617b763e235eae2f1fb0d1414dfba1901aaaaae790255bbcd3f6a9d4c10bae88d579deb36ce33e7047093615668b413750f615c835fc58b4abe6d34215913c4691042c134c3cf8566da449096df6bbe97fffcc49ae4c442f9194861247a5ea1cbd06c7e17c715cb47e1f44cdb4181ec81d27237101225ac8831c7f5dd14428ec324cda408aaa1133f6e12a31b34f75bfe208e806b6f379ea7c949dbda574cc703a58fcfeaa63d9920ac105daafa2b315721bbd5f04bfa13a45248c06d7b643b1be85ed01759506d7d9b66a63bce458f91cf53bda11260500b2a9383219f8ff66972e841eef4d8d5018b906e0fb846aec8dd48b1035b9d9b5c8"},
	{"privkey-0001", "15e1ba8096829327a00e3063757edb101339ef27815304ce|1ca809a53776032ea15c097decacf8feedd378741559d341a439b673"},
}

func TestVectors(t *testing.T) {
	k := testKey(t)
	for _, v := range vectors {
		got, err := k.Decrypt(v.stored)
		if err != nil || got != v.plain {
			t.Errorf("%.60s: got %q, %v", v.stored, got, err)
		}
		var nonce [nonceSize]byte
		if _, err := hex.Decode(nonce[:], []byte(v.stored[:2*nonceSize])); err != nil {
			t.Fatal(err)
		}
		if again := k.seal(v.plain, &nonce); again != v.stored {
			t.Errorf("%q: sealed to %s", v.plain, again)
		}
		if strings.HasPrefix(v.plain, "{") {
			data, err := k.DecryptJSON(v.stored)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := php.EncodeJSON(data, php.Default)
			if text != v.plain {
				t.Errorf("JSON: got %s, want %s", text, v.plain)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	k, text := GenerateKey()
	again, err := ParseKey(strings.ToUpper(text))
	if err != nil {
		t.Fatal(err)
	}
	one, two := k.Encrypt("secret"), k.Encrypt("secret")
	if one == two {
		t.Error("the nonce was used twice")
	}
	if got, err := again.Decrypt(one); err != nil || got != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
	stored, err := k.EncryptJSON(php.Map(php.Pair{Key: "formData", Value: php.List()}))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := again.DecryptJSON(stored); err != nil || !v.Get("formData").Identical(php.List()) {
		t.Errorf("JSON: %v, %v", v, err)
	}
	for _, v := range []string{k.Encrypt(""), k.Encrypt("0")} {
		if v != "" {
			t.Errorf("an empty value was stored as %q", v)
		}
	}
	if s, err := k.EncryptJSON(php.List()); s != "" || err != nil {
		t.Errorf("an empty array was stored as %q, %v", s, err)
	}
	for _, empty := range []string{"", "0"} {
		if v, err := k.DecryptJSON(empty); err != nil || !v.IsNull() {
			t.Errorf("%q: %v, %v", empty, v, err)
		}
	}
}

func TestDecryptRefuses(t *testing.T) {
	k := testKey(t)
	other, err := ParseKey(strings.Repeat("ff", 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Decrypt(vectors[0].stored); !protection.Is(err, protection.CodeKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := other.DecryptJSON(vectors[4].stored); !protection.Is(err, protection.CodeKey) {
		t.Errorf("another key, JSON: %v", err)
	}
	for _, bad := range []string{"plain", "|", nonceHex + "|", nonceHex + "|zz", "zz" + vectors[0].stored[2:], vectors[0].stored[2:], vectors[0].stored + "00"} {
		if _, err := k.Decrypt(bad); !protection.Is(err, protection.CodeKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := (Key{}).Decrypt(vectors[0].stored); err == nil {
		t.Error("decrypted without a key")
	}
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 66), strings.Repeat("g", 64), strings.Repeat("0", 64) + "\n"} {
		if _, err := ParseKey(bad); !protection.Is(err, protection.CodeInvalid) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}

func TestKeyHidesItself(t *testing.T) {
	k := testKey(t)
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %x %s %d", k, k, k, k, k, k), k.LogValue().String(), k.GoString()} {
		if strings.Contains(s, "0001020304") || strings.Contains(s, "0x") {
			t.Errorf("the key shows in %q", s)
		}
	}
}

func TestHashIP(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1":   "7d9ee0cc571e9b819571460d89a610497a1ce02b660213c4fa7556f6aed0500c9bc149f60cdca7eb26b2c602501f00be6273edf3f9a7790883bd31a05d55fe64",
		"127.0.0.1":   "d0d4b981952f59071e5610efcdb239ecdbaecb5c82420523e5ca73ffeb276340eb50c75ad6a5db562d6705de5ead1f0dd4be2a32d192543647579bbe0b2ca408",
		"2001:db8::1": "b1144747327e6d6018429631f388f889405d37fdb2868bab8fcc6d70d221101e05976f52900f39936e5d4cb03942916f18dc459853ae15d99637c6f82363a95c",
		"2001:DB8::1": "568f072ae48d67f4c6fa6cd487ab198553c8a53b2ee0209f12748723a40d2b8525319b32324e0fa21cec2d4aff81e0181835193cf0ee0313104de759ef4991bc",
		"":            "19fa61d75522a4669b44e39c1d2e1726c530232130d407f89afee0964997f7a73e83be698b288febcf88e3e03c4f0757ea8964e59b63d93708b138cc42a66eb3",
	} {
		if got := HashIP(ip); got != want {
			t.Errorf("%q: got %s", ip, got)
		}
	}
}

// TestWhirlpoolAgainstPHP covers the padding at every length up to three blocks.
func TestWhirlpoolAgainstPHP(t *testing.T) {
	bin := server.Binary(t, "php")
	out, err := exec.Command(bin, "-n", "-r", `for ($i = 0; $i < 192; $i++) echo hash('whirlpool', str_repeat('ab', $i)), "\n";`).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range strings.Fields(string(out)) {
		if got := HashIP(strings.Repeat("ab", i)); got != want {
			t.Errorf("length %d: got %s, want %s", 2*i, got, want)
		}
	}
}

func BenchmarkHashIP(b *testing.B) {
	for b.Loop() {
		HashIP("2001:db8:1234:5678::1")
	}
}
