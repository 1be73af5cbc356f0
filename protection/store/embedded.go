package store

// Embedded reports whether the database is SQLite. Rules match there in another order than on a server, see package rule.
func (s *Store) Embedded() bool { return s.b.dialect() == dialectSQLite }
