package wire

import (
	"testing"
)

const benchApp = `{"id":"/prod/shop/web","cpus":0.5,"mem":512,"instances":4,"labels":{"HAPROXY_GROUP":"external","team":"shop"},
 "env":{"JAVA_OPTS":"-Xmx256m","PROFILE":"prod","DB":"jdbc:postgresql://db/shop"},"constraints":[["hostname","UNIQUE"],["rack","GROUP_BY","3"]],
 "container":{"type":"DOCKER","docker":{"image":"registry.example.com/shop/web:1.2.3","forcePullImage":true,"parameters":[{"key":"log-driver","value":"syslog"}]},
 "volumes":[{"containerPath":"/data","hostPath":"/mnt/data","mode":"RO"}],"portMappings":[{"containerPort":8080,"hostPort":0,"servicePort":10010,"name":"http"},{"containerPort":9090,"name":"admin"}]},
 "networks":[{"mode":"container/bridge"}],"fetch":[{"uri":"http://repo.example.com/conf.tgz"}],
 "healthChecks":[{"protocol":"HTTP","path":"/health","portIndex":0,"gracePeriodSeconds":30,"intervalSeconds":10,"timeoutSeconds":5,"maxConsecutiveFailures":3}],
 "upgradeStrategy":{"minimumHealthCapacity":0.5,"maximumOverCapacity":0.2},"dependencies":["/prod/shop/db"]}`

func BenchmarkCreateApp(b *testing.B) {
	c, tree := &Config{}, newTree()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.CreateApp([]byte(benchApp), tree); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutAppInstances(b *testing.B) {
	c := &Config{}
	tree := with(b, c, benchApp)
	for b.Loop() {
		if _, _, err := c.PutApp("/prod/shop/web", []byte(`{"instances":7}`), true, tree); err != nil {
			b.Fatal(err)
		}
	}
}
