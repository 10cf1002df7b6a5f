//! Findings in Traffic documents.

use super::check;
use insta::assert_snapshot;

#[test]
fn weights_make_sense_together() {
    let found = check(
        "\
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec:
  service: apps/one
  routes:
  - {local: {subset: v1}, weight: 60}
  - {local: {subset: v2}, weight: 60}
//- meshes/a/traffic/two.yaml
kind: Traffic
metadata: {name: two}
spec: {service: apps/two}
//- meshes/a/traffic/three.yaml
kind: Traffic
metadata: {name: three}
spec:
  service: apps/three
  routes:
  - {local: {subset: v1}, weight: 101}
  - {local: {subset: V2}, peer: b, weight: 0}
  mirror: {local: {subset: v3}, percentage: 120.5}
//- meshes/a/traffic/four.yaml
kind: Traffic
metadata: {name: four}
spec:
  routes: [{local: {}, weight: -1}]
//- meshes/a/traffic/five.yaml
kind: Traffic
metadata: {name: five}
spec:
  routes: [{local: {}, weight: 100}]
",
    );
    assert_snapshot!(found, @r"
    meshes/a/traffic/five.yaml:3:18: error[MF007]: `spec.service` is missing (name the Service that clients call: `namespace/name`)
    meshes/a/traffic/four.yaml:5:32: error[MF001]: `-1` is no whole number that can stand here (digits alone, without sign, fraction or unit)
    meshes/a/traffic/one.yaml:7:5: error[MF008]: the weights sum to 120, not 100 (60 + 60 is 20 too much)
    meshes/a/traffic/three.yaml:7:35: error[MF008]: a weight of 101 is more than all (weights are percentages)
    meshes/a/traffic/three.yaml:8:5: error[MF007]: a destination is either local or imported from one peer (give `local`, or both `peer` and `service`)
    meshes/a/traffic/three.yaml:9:45: error[MF007]: 120.5 is not a percentage (0 to 100)
    meshes/a/traffic/two.yaml:3:18: error[MF008]: there is no route (add `routes`, for instance `- {local: {}, weight: 100}`)
    ");
}

#[test]
fn a_route_that_is_wrong_does_not_make_the_sum_wrong_too() {
    let found = check(
        "\
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec:
  service: apps/one
  routes:
  - {local: {subset: v1}, weight: 60}
  - {peer: b, weight: 40}
",
    );
    assert_snapshot!(found, @"meshes/a/traffic/one.yaml:8:5: error[MF007]: a destination is either local or imported from one peer (give `local`, or both `peer` and `service`)");
}

#[test]
fn a_match_says_which_requests_and_where_they_go() {
    let found = check(
        "\
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec:
  service: apps/one
  matches:
  - routes: [{local: {}}]
  - uri: {prefix: /v2}
  - headers: {End-User: {exact: jason}, uri: {exact: /x}, '': {exact: x}}
    routes: [{local: {}}]
  - headers: {a: {exact: ''}, b: {exact: \"x\\ny\"}, c: {regex: '(?!x)y'}, d: {regex: '[a'}}
    routes: [{local: {}, weight: 60}, {local: {subset: v1}, weight: 30}]
  - uri: {prefix: /v3}
    routes: [{local: {}}, {local: {subset: v1}}]
  - uri: {prefix: /v4}
    routes: [{local: {}, weight: 50}, {local: {}, weight: 50}]
  - uri: {prefix: /v4}
    routes: [{local: {}, weight: 99}]
//- meshes/a/traffic/two.yaml
kind: Traffic
metadata: {name: two}
spec:
  service: apps/two
  matches: [{uri: {prefix: /v2, exact: /v2}, routes: [{local: {}}]}]
//- meshes/a/traffic/three.yaml
kind: Traffic
metadata: {name: three}
spec:
  service: apps/three
  matches: [{uri: {suffix: .html}, routes: [{local: {}}]}]
//- meshes/a/traffic/four.yaml
kind: Traffic
metadata: {name: four}
spec:
  service: apps/four
  matches: [{uri: /v2, routes: [{local: {}}]}]
",
    );
    let long = check(&format!(
        "//- meshes/a/traffic/long.yaml\nkind: Traffic\nmetadata: {{name: long}}\nspec:\n  service: apps/x\n  \
         matches: [{{uri: {{regex: '{}'}}, routes: [{{local: {{}}}}]}}]\n",
        r"\pL".repeat(1_000_000)
    ));
    assert_snapshot!(long, @"meshes/a/traffic/long.yaml:6:27: error[MF007]: 3000000 characters; the limit is 1024");
    assert_snapshot!(found, @r"
    meshes/a/traffic/four.yaml:6:19: error[MF001]: unknown value `/v2` (there are: exact, prefix, regex)
    meshes/a/traffic/one.yaml:7:5: error[MF007]: this match takes every request (give `headers` or `uri`; what all other requests do stands under `spec.routes`)
    meshes/a/traffic/one.yaml:8:5: error[MF008]: this match has no route (add `routes`, for instance `- {local: {}}`)
    meshes/a/traffic/one.yaml:9:33: error[MF003]: `End-User` is not a header's name: lower-case letters, digits and `-` (write it as `end-user`)
    meshes/a/traffic/one.yaml:9:54: error[MF003]: the control plane ignores a header called `uri` (the path is matched by `uri` beside `headers`)
    meshes/a/traffic/one.yaml:9:71: error[MF003]: `` is not a header's name: lower-case letters, digits and `-` (write it as `x-request-id`)
    meshes/a/traffic/one.yaml:11:26: error[MF007]: nothing to compare with (for a header that only has to be there write `regex: .+`)
    meshes/a/traffic/one.yaml:11:42: error[MF007]: no header or path holds a control character
    meshes/a/traffic/one.yaml:11:62: error[MF007]: not a regular expression: look-around, including look-ahead and look-behind, is not supported (the control plane reads RE2 syntax)
    meshes/a/traffic/one.yaml:11:84: error[MF007]: not a regular expression: unclosed character class (the control plane reads RE2 syntax)
    meshes/a/traffic/one.yaml:12:14: error[MF008]: the weights sum to 90, not 100 (60 + 30 is 10 short)
    meshes/a/traffic/one.yaml:14:14: error[MF008]: this route has no weight (only a lone route may leave it out)
    meshes/a/traffic/one.yaml:14:27: error[MF008]: this route has no weight (only a lone route may leave it out)
    meshes/a/traffic/one.yaml:16:39: error[MF006]: this destination is already in line 16 (add up their weights)
    meshes/a/traffic/one.yaml:17:5: error[MF006]: the match in line 15 takes all of these requests (remove one)
    meshes/a/traffic/one.yaml:18:14: error[MF008]: the weights sum to 99, not 100 (99 is 1 short)
    meshes/a/traffic/three.yaml:6:20: error[MF001]: unknown value `suffix` (there are: exact, prefix, regex)
    meshes/a/traffic/two.yaml:6:33: error[MF001]: only one of these can be given (remove the others)
    ");
}

#[test]
fn times_retries_and_failover_make_sense() {
    let found = check(
        "\
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec:
  service: apps/one
  timeout: 3 parsecs
  retries: {attempts: 0, perTryTimeout: 1us, retryOn: '5xx,gateway-eror,99'}
  outlierDetection: {consecutive5xxErrors: 0, interval: 0s, maxEjectionPercent: 101}
//- meshes/a/traffic/two.yaml
kind: Traffic
metadata: {name: two}
spec:
  service: apps/two
  failover: {to: []}
  matches: [{uri: {prefix: /v2}, routes: [{local: {subset: v2}}]}]
//- meshes/a/traffic/three.yaml
kind: Traffic
metadata: {name: three}
spec:
  service: apps/three
  failover: {to: [b, b]}
  routes: [{peer: b, service: shop/x}]
//- meshes/a/traffic/four.yaml
kind: Traffic
metadata: {name: four}
spec: {service: apps/four, timeout: 0s}
//- meshes/a/traffic/five.yaml
kind: Traffic
metadata: {name: five}
spec: {service: apps/five, failover: {to: []}}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/traffic/five.yaml:4:38: error[MF016]: there is no peer to fail over to (name peers: `to: [aro-stg-mesh]`)
    meshes/a/traffic/four.yaml:4:37: error[MF007]: `0s` is shorter than a millisecond or a fraction of one (leave it out for no limit)
    meshes/a/traffic/one.yaml:6:12: error[MF007]: `3 parsecs` is not a length of time (write it as `500ms`, `3s` or `1m 30s`)
    meshes/a/traffic/one.yaml:7:23: error[MF007]: `attempts: 0` turns retries off (remove the other fields of `retries`)
    meshes/a/traffic/one.yaml:7:41: error[MF007]: `1us` is shorter than a millisecond or a fraction of one (leave it out for no limit)
    meshes/a/traffic/one.yaml:7:55: error[MF007]: `99` is nothing that can be tried again (there are: 5xx, gateway-error, reset, connect-failure, retriable-4xx, refused-stream, retriable-status-codes, retriable-headers, envoy-ratelimited, cancelled and 4 more)
    meshes/a/traffic/one.yaml:7:55: error[MF007]: `gateway-eror` is nothing that can be tried again (did you mean `gateway-error`?)
    meshes/a/traffic/one.yaml:8:44: error[MF007]: 0 errors turn it off (at least 1; to turn it off remove `outlierDetection`)
    meshes/a/traffic/one.yaml:8:57: error[MF007]: `0s` is shorter than a millisecond or a fraction of one (leave it out for no limit)
    meshes/a/traffic/one.yaml:8:81: error[MF007]: 101 is not a share of the endpoints (1 to 100)
    meshes/a/traffic/three.yaml:6:13: error[MF016]: no request goes to the service that `failover` is about (failover helps requests to the service itself: add a route to `local: {}`)
    meshes/a/traffic/three.yaml:6:19: error[MF016]: failover needs the region of `a` (add `locality: {region: …}` to meshes/a/mesh.yaml)
    meshes/a/traffic/three.yaml:6:19: error[MF016]: failover needs the region of `b` (add `locality: {region: …}` to meshes/b/mesh.yaml or to meshes/a/peers/b.yaml)
    meshes/a/traffic/three.yaml:6:19: error[MF016]: nothing is imported from `b` as `apps/three` (add an import with `as: apps/three` and `asLocal: true` to meshes/a/peers/b.yaml)
    meshes/a/traffic/three.yaml:6:22: error[MF006]: `b` is listed twice (remove one)
    meshes/a/traffic/three.yaml:7:31: error[MF005]: nothing is imported from `b` as `shop/x` (import it in meshes/a/peers/b.yaml, as the peer exports it)
    meshes/a/traffic/two.yaml:6:13: error[MF016]: there is no peer to fail over to (name peers: `to: [aro-stg-mesh]`)
    meshes/a/traffic/two.yaml:7:43: error[MF016]: a subset hides the endpoints that `failover` adds to the service (route to `local: {}`, or remove `failover`)
    ");
}

#[test]
fn a_subset_beside_those_that_are_listed_is_probably_a_slip() {
    let traffic = |subset: &str| {
        check(&format!(
            "//- meshes/a/traffic/one.yaml\nkind: Traffic\nmetadata: {{name: one}}\nspec:\n  service: apps/one\n  \
             subsets: {{first: {{version: v1}}}}\n  routes: [{{local: {{subset: {subset}}}}}]\n"
        ))
    };
    assert_snapshot!(traffic("firts"), @"meshes/a/traffic/one.yaml:7:12: warning[MF012]: `firts` is not among `subsets`, so it stands for the label `version: firts` (did you mean `first`? Else list it there too)");
    assert_eq!(traffic("first"), "");
}

#[test]
fn a_subset_stands_inside_of_local_and_nowhere_else() {
    let found = check(
        "\
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec:
  service: apps/one
  routes: [{local: {}, subset: v1, weight: 50}, {peer: b, service: shop/x, subset: v1, weight: 50}]
  mirror: {peer: b, service: shop/x, subset: v2}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/traffic/one.yaml:6:32: error[MF007]: `subset` stands inside of `local`: `local: {subset: v1}`
    meshes/a/traffic/one.yaml:6:84: error[MF007]: an imported service has no subsets: requests to one would find no endpoint (let the peer export each version as a service of its own)
    meshes/a/traffic/one.yaml:7:46: error[MF007]: an imported service has no subsets: requests to one would find no endpoint (let the peer export each version as a service of its own)
    ");
}
