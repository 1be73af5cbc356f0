package store

import "testing"

func testPackages(t *testing.T, s *Store) {}
func testImport(t *testing.T, s *Store)   {}
