package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

// mysqlWords turns statements of MariaDB about replication into those of MySQL.
var mysqlWords = strings.NewReplacer("CHANGE MASTER TO", "CHANGE REPLICATION SOURCE TO", "SLAVE", "REPLICA", "slave_", "replica_", "_slave", "_replica",
	"_master_", "_source_", "master_use_gtid=slave_pos", "source_auto_position=1, get_source_public_key=1", "master_", "source_", "_Master_", "_Source_", "Master_", "Source_")

// Follow makes the server a replica of source, which calls itself host. Both need an own server-id, source a log-bin.
func (m *MariaDB) Follow(t testing.TB, source *MariaDB, host string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(source.Addr)
	m.Execute(t, "SET GLOBAL slave_exec_mode = 'IDEMPOTENT'", // both made the same account
		fmt.Sprintf("CHANGE MASTER TO master_host='%s', master_port=%s, master_user='%s', master_password='%s', master_use_gtid=slave_pos", host, port, source.User, source.Pass),
		"START SLAVE")
}

// StartReplicated starts a primary and a read-only replica that the primary waits for at each commit.
func StartReplicated(t testing.TB) (primary, replica *MariaDB) {
	t.Helper()
	primary = StartMariaDB(t, "--server-id=1", "--log-bin=bin")
	replica = StartMariaDB(t, "--server-id=2", "--log-bin=bin", "--read-only=1")
	if primary.MySQL {
		primary.Execute(t, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
		replica.Execute(t, "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'")
	}
	replica.Execute(t, "SET GLOBAL rpl_semi_sync_slave_enabled = 1")
	replica.Follow(t, primary, "127.0.0.1")
	primary.Execute(t, "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC", "SET GLOBAL rpl_semi_sync_master_timeout = 60000",
		"SET GLOBAL rpl_semi_sync_master_enabled = 1")
	return primary, replica
}

// galeraProvider is a file of Debian's galera-4, which its mariadb-server depends on.
const galeraProvider = "/usr/lib/galera/libgalera_smm.so"

// StartGalera starts a member of a Galera cluster: the first one without a peer, any other one with the address of the cluster that
// the first got. transfer is how one that joins takes over what the others hold: "rsync", or "skip" if it never does.
func StartGalera(t testing.TB, peer, transfer string) (m *MariaDB, address string) {
	t.Helper()
	_, err := os.Stat(galeraProvider)
	Need(t, err == nil, fmt.Sprint(err))
	address = FreeAddress(t)
	// As root rsync would give up its rights, and find the way to the data closed.
	return startMariaDB(t, "mysql", "--wsrep-on=ON", "--wsrep-provider="+galeraProvider, "--wsrep-cluster-address=gcomm://"+peer, "--wsrep-node-address=127.0.0.1",
		"--wsrep-sst-method="+transfer, "--wsrep-sst-receive-address="+FreeAddress(t), "--wsrep-cluster-name=lab", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
		"--wsrep-provider-options=gcache.size=8M;base_host=127.0.0.1;gmcast.listen_addr=tcp://"+address+";ist.recv_addr="+FreeAddress(t)+
			";evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.inactive_check_period=PT0.5S"), address
}

// StartGroup starts n members of a group of MySQL's Group Replication in single-primary mode, the first being the primary. addresses are
// those under which they speak to each other.
func StartGroup(t testing.TB, n int) (members []*MariaDB, addresses []string) {
	t.Helper()
	for range n {
		addresses = append(addresses, FreeAddress(t))
	}
	for i, address := range addresses {
		m := StartMariaDB(t, fmt.Sprintf("--server-id=%d", 21+i), "--log-bin=bin", "--report-host=127.0.0.1", "--plugin-load-add=group_replication.so",
			"--loose-group-replication-group-name=6d1f0a52-7d1c-4f0e-9c39-0c2f4b7d2a11", "--loose-group-replication-start-on-boot=OFF",
			"--loose-group-replication-local-address="+address, "--loose-group-replication-group-seeds="+strings.Join(addresses, ","),
			"--loose-group-replication-ip-allowlist=127.0.0.0/8", "--loose-group-replication-recovery-get-public-key=ON",
			"--loose-group-replication-member-expel-timeout=0", // what is gone is expelled as soon as it is suspected
			"--loose-group-replication-message-cache-size=134217728")
		if !m.MySQL {
			t.Fatal("only MySQL has Group Replication: make test-mysql")
		}
		m.Execute(t, "RESET BINARY LOGS AND GTIDS", // each made its accounts by itself, and none may know what the group does not
			fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_USER = '%s', SOURCE_PASSWORD = '%s' FOR CHANNEL 'group_replication_recovery'", m.User, m.Pass))
		members = append(members, m)
	}
	members[0].FoundGroup(t)
	for _, m := range members[1:] {
		m.Execute(t, "START GROUP_REPLICATION")
	}
	return members, addresses
}

// FoundGroup lets a member begin its group anew.
func (m *MariaDB) FoundGroup(t testing.TB) {
	t.Helper()
	m.Execute(t, "SET GLOBAL group_replication_bootstrap_group = 1", "START GROUP_REPLICATION", "SET GLOBAL group_replication_bootstrap_group = 0")
}

// Promote makes a replica writable once it has applied all that it received.
func (m *MariaDB) Promote(t testing.TB) {
	t.Helper()
	m.Execute(t, "STOP SLAVE IO_THREAD")
	db := m.DB(t, "")
	m.Process.WaitFor("what the replica received", func(ctx context.Context) error {
		status := m.replicaStatus(ctx, t, db)
		if e := status("Last_SQL_Error"); e != "" {
			t.Fatal(e)
		}
		if status("Read_Master_Log_Pos") != status("Exec_Master_Log_Pos") || status("Master_Log_File") != status("Relay_Master_Log_File") {
			return fmt.Errorf("applied up to %s of %s", status("Exec_Master_Log_Pos"), status("Read_Master_Log_Pos"))
		}
		return nil
	})
	m.Execute(t, "STOP SLAVE", "SET GLOBAL read_only = 0")
}

// replicaStatus asks how a replica is, by MariaDB's names.
func (m *MariaDB) replicaStatus(ctx context.Context, t testing.TB, db *sql.DB) func(name string) string {
	t.Helper()
	words := func(s string) string { return s }
	if m.MySQL {
		words = mysqlWords.Replace
	}
	rows, err := db.QueryContext(ctx, words("SHOW SLAVE STATUS"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatalf("no replica: %v", err)
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := errors.Join(rows.Scan(into...), rows.Err()); err != nil {
		t.Fatal(err)
	}
	return func(name string) string {
		at := slices.Index(names, words(name))
		if at < 0 {
			t.Fatalf("a replica says nothing of %s", words(name))
		}
		return values[at].String
	}
}
