"""Asks a gateway as KEDA does: ADDRESS, and the address of an upstream whose requests wait until told."""

import sys
import tempfile
import threading
import urllib.request

import grpc
from grpc_tools import protoc

HERE = __file__.rsplit("/", 1)[0]
made = tempfile.mkdtemp()
assert protoc.main(["", f"-I{HERE}", f"--python_out={made}", f"--grpc_python_out={made}", f"{HERE}/externalscaler.proto"]) == 0
sys.path.insert(0, made)
import externalscaler_pb2 as pb  # noqa: E402
import externalscaler_pb2_grpc as rpc  # noqa: E402

address, clear = sys.argv[1:]
scaler = rpc.ExternalScalerStub(grpc.insecure_channel(address))


def ref(**metadata):
    return pb.ScaledObjectRef(name="app", namespace="default", scalerMetadata=metadata)


def value(**metadata):
    asked = pb.GetMetricsRequest(scaledObjectRef=ref(**metadata), metricName="s0-it")
    [one] = scaler.GetMetrics(asked, timeout=10).metricValues
    assert one.metricName == "s0-it", one
    return one.metricValueFloat, one.metricValue


def refused(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("it was not refused")


app = {"upstream": "app", "target": "2.5"}
[spec] = scaler.GetMetricSpec(ref(**app), timeout=10).metricSpecs
print("spec", spec.metricName, spec.targetSize, spec.targetSizeFloat)
print("idle", scaler.IsActive(ref(**app), timeout=10).result, value(**app))

# A latency is that of what comes after somebody has looked.
print("before", value(metric="latency", **app), value(metric="latency"))
print("alone", value(), scaler.IsActive(ref(), timeout=10).result)
changes = scaler.StreamIsActive(ref(**app))
print("stream", next(changes).result)


def get(path):
    with urllib.request.urlopen(f"http://{clear}{path}", timeout=20) as answer:
        answer.read()


held = [threading.Thread(target=get, args=("/held",)) for _ in range(3)]
for thread in held:
    thread.start()
print("stream", next(changes).result)
while value(**app)[0] < 3:
    pass
print("busy", value(**app), value(metric="in-flight", **app), value(metric="queue", **app))
print("used", value(metric="utilization", **app))
for thread in held:
    thread.join()
print("stream", next(changes).result)
changes.cancel()
late, _ = value(metric="latency", **app)
print("latency", 500 < late <= 5000)
print("gateway", value(metric="latency")[0] > 0, value())
print(*refused(lambda: scaler.GetMetricSpec(ref(upstream="app"), timeout=10)))
print(*refused(lambda: value(upstream="none")))
print(*refused(lambda: value(metric="weight")))
print(*refused(lambda: value(route="/held")))
print(*refused(lambda: scaler.IsActive(ref(target="x"), timeout=10)))
unknown = grpc.insecure_channel(address).unary_unary("/externalscaler.ExternalScaler/Other", None, None)
print(*refused(lambda: unknown(b"", timeout=10)))
