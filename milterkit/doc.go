// Package milterkit puts many mail filters behind one milter socket.
package milterkit
