// Package e2e holds no code: its tests drive the built program against a deployment of real servers. Three nodes, each with
// an address, OpenSSH, nginx and PHP-FPM of its own in its own network and mount namespaces, share MariaDB and redis and
// stand behind HAProxy.
package e2e
