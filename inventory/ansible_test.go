package inventory

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ansibleINI = `; the shop
bastion.example.com:2200 ansible_user=ops  # ungrouped

[web]
app[01:03].example.com ansible_become=yes
app4 ansible_host=10.0.0.4 ansible_ssh_private_key_file='~/.ssh/my key' ansible_password=canary-5ecret

[admins]
app01.example.com

[eu:children]
web

[eu:vars]
ansible_user=eu-deploy
http_port=8080
ansible_ssh_common_args='-o ProxyJump=jump@bastion:22'

[all:vars]
ansible_user = deploy
ansible_port=22
`

const ansibleYAML = `all:
  vars:
    ansible_user: deploy
    ansible_port: 22
  hosts:
    bastion.example.com:
      ansible_port: 2200
      ansible_user: ops
  children:
    eu:
      vars:
        ansible_user: eu-deploy
        ansible_ssh_common_args: -J jump@bastion:22
        http_port: 8080
      children:
        web:
          hosts:
            app[01:03].example.com: {ansible_become: true}
            app4:
              ansible_host: 10.0.0.4
              ansible_ssh_private_key_file: ~/.ssh/my key
              ansible_password: canary-5ecret
    admins:
      hosts:
        app01.example.com:
`

func TestImportAnsible(t *testing.T) {
	t.Setenv("HOME", "/home/ops")
	for name, text := range map[string]string{"hosts": ansibleINI, "hosts.yml": ansibleYAML, "inventory": ansibleYAML} {
		t.Run(name, func(t *testing.T) {
			out, notes, err := ImportAnsible(name, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if all := string(out) + strings.Join(notes, "\n"); strings.Contains(all, "canary") {
				t.Errorf("a password is taken over:\n%s", all)
			}
			d, err := Parse("mosparo.yaml", out)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			type node struct {
				Name, Address, User, Identity, Jump string
				Port                                int
				Become                              bool
				Groups                              []string
			}
			var got []node
			for _, n := range d.Nodes {
				got = append(got, node{n.Name, n.Address, n.SSH.User, n.SSH.Identity, n.SSH.Jump, n.SSH.Port, n.SSH.Become, n.Groups})
			}
			const jump = "jump@bastion:22"
			want := []node{
				{"bastion.example.com", "bastion.example.com", "ops", "", "", 2200, false, nil},
				{"app01.example.com", "app01.example.com", "eu-deploy", "", jump, 22, true, []string{"admins", "eu", "web"}},
				{"app02.example.com", "app02.example.com", "eu-deploy", "", jump, 22, true, []string{"eu", "web"}},
				{"app03.example.com", "app03.example.com", "eu-deploy", "", jump, 22, true, []string{"eu", "web"}},
				{"app4", "10.0.0.4", "eu-deploy", "/home/ops/.ssh/my key", jump, 22, false, []string{"eu", "web"}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("nodes (-want +got):\n%s\n%s", diff, out)
			}
			if d.Name != "mosparo" || d.Admin().Name != "app01.example.com" {
				t.Errorf("name %q, admin %v", d.Name, d.Admin().Name)
			}
			for _, want := range []string{"app01.example.com is assumed to be the admin node",
				"every host is assumed to serve visitors and to run jobs: take out what is none of mosparo's, such as database servers", "group eu: http_port was left out",
				"host app4: ansible_password was left out; use keys, and sudo without a password", "paths.root is assumed to be /srv/mosparo"} {
				if !slices.Contains(notes, want) {
					t.Errorf("no note %q in\n%s", want, strings.Join(notes, "\n"))
				}
			}
		})
	}
}

func TestImportAnsibleErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "no hosts",
		"[web]\napp1 port\n":         "hosts:2:1: \"port\" is no variable",
		"app[3:1]\n":                 "is no range",
		"app[1:5000]\n":              "a range of more than 1000 hosts",
		"a[1:999][1:999][1:999]\n":   "a range of more than 1000 hosts",
		"app1 x='y\n":                "a quote is not closed",
		"[web:vars]\nx\n":            "without =",
		"all:\n  host:\n    app1:\n": "hosts:2:3: all.host: unknown key",
		"---\nall: &a\n  children:\n    web: *a\n": "nested too deeply",
		"all:\n  hosts: [a\n":                      "syntax error",
		"all:\n  hosts:\n    a: 1\n    b: 2\n":     "must be a mapping",
	} {
		if _, _, err := ImportAnsible("hosts", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestExpandRange(t *testing.T) {
	for pattern, want := range map[string]string{"app": "app", "app[1:3]": "app1 app2 app3", "app[08:10]x": "app08x app09x app10x", "n[1:9:4]": "n1 n5 n9",
		"db-[a:c]": "db-a db-b db-c", "r[1:2]n[1:2]": "r1n1 r1n2 r2n1 r2n2", "[2001:db8::1]": "[2001:db8::1]"} {
		got, err := expandRange(pattern, 100)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v; want %s", pattern, got, err, want)
		}
	}
}

func FuzzImportAnsible(f *testing.F) {
	f.Add("hosts", []byte(ansibleINI))
	f.Add("hosts.yml", []byte(ansibleYAML))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		out, _, err := ImportAnsible(name, data)
		if err != nil {
			return
		}
		// What is imported may need mending, but it is always YAML of ours.
		_, err = Parse("x.yaml", out)
		if err != nil && (strings.Contains(err.Error(), "syntax error") || strings.Contains(err.Error(), "unknown key")) {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}
