/*
Command stadion is the whole of Stadion in one static binary:

	stadion dev        etcd, a miniature Mesos with real processes and the server, in one process
	stadion server     the server alone: --master HOST:PORT --etcd_endpoints URL[,URL…]
	stadion minimesos  the miniature Mesos alone
	stadion backup     write everything the servers store into a file
	stadion restore    replace what they store by a backup
	stadion version    what this binary is

A term of leadership (server.go) begins with the lease in etcd. It ends when etcd says so, by a signal or by request. When
the lease ends while etcd is silent, Marathon's processes end; ours shows what it knows until etcd answers or Mesos knows
a successor (outlast.go): an etcd without its quorum must not take the list of backends from load balancers (R13).

Flags have Marathon's names. Each can also be given as MARATHON_<NAME>. All of them stand in one table (flags.go) that
parsing, --help and the README's list share. Exit codes are Marathon's (exit.go; behaviour.md 9.6).
*/
package main
