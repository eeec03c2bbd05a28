"""Asks the gate over gRPC, once with classes generated from proto/ and once found by reflection; prints both as JSON.

Usage: ask_gate.py HOST:PORT PROTO_FOLDER POLICY RACK [NOT_BEFORE_SECONDS]
"""
import json
import pathlib
import sys
import tempfile

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc


def generated(target, folder, fields):
    out = tempfile.mkdtemp()
    well_known = str(pathlib.Path(protoc.__file__).parent / "_proto")
    arguments = ["protoc", f"-I{folder}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}",
                 f"{folder}/thermogate/gate/v1/gate.proto"]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")
    sys.path.insert(0, out)
    from thermogate.gate.v1 import gate_pb2, gate_pb2_grpc
    with grpc.insecure_channel(target) as channel:
        stub = gate_pb2_grpc.GateServiceStub(channel)
        return stub.Evaluate(json_format.ParseDict(fields, gate_pb2.EvaluateRequest()), timeout=20)


def reflected(target, fields):
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        names = database.get_services()
        if "thermogate.gate.v1.GateService" not in names:
            raise SystemExit(f"reflection does not list the gate: {names}")
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("thermogate.gate.v1.GateService").FindMethodByName("Evaluate")
        request = json_format.ParseDict(fields, GetMessageClass(method.input_type)())
        call = channel.unary_unary("/thermogate.gate.v1.GateService/Evaluate",
                                   request_serializer=lambda message: message.SerializeToString(),
                                   response_deserializer=GetMessageClass(method.output_type).FromString)
        return call(request, timeout=20)


def main():
    target, folder, policy, rack = sys.argv[1:5]
    fields = {"gate": policy, "racks": [rack]}
    if len(sys.argv) > 5:
        fields["notBefore"] = sys.argv[5]
    for name, answer in (("generated", generated(target, folder, fields)), ("reflected", reflected(target, fields))):
        print(json.dumps({"by": name, "evaluation": json_format.MessageToDict(answer.evaluation)}))


main()
