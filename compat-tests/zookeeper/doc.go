// Package zookeeper holds the test that finds the leading Mesos master through a real ZooKeeper, Debian's, which it
// installs where it is missing.
package zookeeper
