"""Calls the gRPC port, once with classes generated from proto/ and once with those found by reflection.

Usage: ask_gate.py HOST:PORT PROTO_FOLDER < CALLS
Each line of standard input is a call: {"method": "thermogate.gate.v1.GateService/Evaluate", "request": {…},
"timeout": 20}. Each line of the output is its answer by "generated" (null for services of others) and by
"reflected": {"answer": {…}}, {"stream": [{…}, …]} or {"code": …, "message": …, "details": {type: {…}}}.
The method "services" lists what reflection v1 and v1alpha know.
"""
import importlib
import json
import pathlib
import sys
import tempfile

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2  # registers the details that errors carry
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from grpc_tools import protoc

assert error_details_pb2


def generate(folder):
    """Modules with the messages of our services, by package."""
    out = tempfile.mkdtemp()
    well_known = str(pathlib.Path(protoc.__file__).parent / "_proto")
    files = [f"{folder}/thermogate/{name}/v1/{name}.proto" for name in ("gate", "run", "advisory")]
    if protoc.main(["protoc", f"-I{folder}", f"-I{well_known}", f"--python_out={out}", *files]) != 0:
        raise SystemExit("protoc failed")
    sys.path.insert(0, out)
    return {f"thermogate.{name}.v1": importlib.import_module(f"thermogate.{name}.v1.{name}_pb2") for name in ("gate", "run", "advisory")}


def call(channel, method, classes, fields, timeout):
    """One call with the request's and the response's class; what comes back as JSON."""
    request_class, response_class, streams = classes
    kind = channel.unary_stream if streams else channel.unary_unary
    stub = kind("/" + method, request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response_class.FromString)
    try:
        request = json_format.ParseDict(fields, request_class())
        answer = stub(request, timeout=timeout)
        if streams:
            return {"stream": [json_format.MessageToDict(message) for message in answer]}
        return {"answer": json_format.MessageToDict(answer)}
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        details = {}
        for detail in status.details if status else []:
            as_json = json_format.MessageToDict(detail)
            details[as_json.pop("@type").rsplit(".", 1)[-1]] = as_json
        return {"code": error.code().name, "message": error.details(), "details": details}


def classes_of(pool, method):
    service, name = method.split("/")
    found = pool.FindServiceByName(service).FindMethodByName(name)
    return GetMessageClass(found.input_type), GetMessageClass(found.output_type), found.server_streaming


def services(channel, version):
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    ask = channel.stream_stream(path, request_serializer=lambda message: message.SerializeToString(),
                                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    answer = next(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=20))
    return [service.name for service in answer.list_services_response.service]


def main():
    target, folder = sys.argv[1:3]
    modules = generate(folder)
    with grpc.insecure_channel(target) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        for line in sys.stdin:
            asked = json.loads(line)
            method, timeout = asked["method"], asked.get("timeout", 20)
            if method == "services":
                print(json.dumps({version: services(channel, version) for version in ("v1", "v1alpha")}), flush=True)
                continue
            fields = asked.get("request", {})
            module = modules.get(method.split("/")[0].rsplit(".", 1)[0])
            generated = None
            if module:
                service, name = method.split("/")
                found = module.DESCRIPTOR.services_by_name[service.rsplit(".", 1)[1]].methods_by_name[name]
                classes = GetMessageClass(found.input_type), GetMessageClass(found.output_type), found.server_streaming
                generated = call(channel, method, classes, fields, timeout)
            reflected = call(channel, method, classes_of(pool, method), fields, timeout)
            print(json.dumps({"generated": generated, "reflected": reflected}), flush=True)


main()
