"""DNS messages: questions in, answers out, through dnslib; pure.

UDP answers that do not fit the client's buffer (RFC 6891; 512 bytes without EDNS) are truncated with TC set.
"""

from __future__ import annotations

import random

import dnslib

from minikube_agents.dns.records import Answer, Record

#: seconds; what kubeadm configures CoreDNS with
TTL = 30
NEGATIVE_TTL = 5


class Malformed(ValueError):
    """The bytes are not a DNS query that can be answered."""


def parse(message: bytes) -> dnslib.DNSRecord:
    """The query in `message`; raises Malformed."""
    try:
        query = dnslib.DNSRecord.parse(message)
    except (dnslib.DNSError, ValueError, IndexError) as error:
        raise Malformed(str(error)) from error
    if query.header.qr or len(query.questions) != 1:
        raise Malformed("not a query with one question")
    return query


def udp_limit(query: dnslib.DNSRecord) -> int:
    """How many bytes of a UDP answer the asker takes."""
    for extra in query.ar:
        if extra.rtype == dnslib.QTYPE.OPT:
            return max(512, min(int(extra.edns_len), 4096))
    return 512


def _data(record: Record) -> dnslib.RD:
    data = record.data
    if isinstance(data, tuple):
        return dnslib.SRV(data[0], data[1], data[2], data[3])
    match record.type:
        case "A":
            return dnslib.A(data)
        case "AAAA":
            return dnslib.AAAA(data)
        case "PTR":
            return dnslib.PTR(data)
        case "CNAME":
            return dnslib.CNAME(data)
        case "TXT":
            return dnslib.TXT(data)
        case "NS":
            return dnslib.NS(data)
        case _:
            return dnslib.SOA(data, f"hostmaster.{record.name}.", (1, 7200, 1800, 86400, NEGATIVE_TTL))


def resource_record(record: Record, ttl: int = TTL) -> dnslib.RR:
    """dnslib's form of a record."""
    return dnslib.RR(record.name, getattr(dnslib.QTYPE, record.type), rdata=_data(record), ttl=ttl)


def encode(
    query: dnslib.DNSRecord,
    answer: Answer,
    *,
    soa: Record,
    resolved: tuple[dnslib.RR, ...] = (),
    limit: int = 0,
    shuffle: random.Random,
) -> bytes:
    """The answer's bytes; address records are shuffled (CoreDNS' `loadbalance`). `limit` 0 = no limit (TCP)."""
    reply = query.reply(ra=1, aa=1)
    records = list(answer.records)
    shuffle.shuffle(records)
    for record in records:
        reply.add_answer(resource_record(record))
    for extra in resolved:
        reply.add_answer(extra)
    if not answer.exists:
        reply.header.rcode = dnslib.RCODE.NXDOMAIN
    if not answer.records:
        reply.add_auth(resource_record(soa, NEGATIVE_TTL))
    for record in answer.extra:
        reply.add_ar(resource_record(record))
    if any(r.rtype == dnslib.QTYPE.OPT for r in query.ar):
        reply.add_ar(dnslib.EDNS0(udp_len=4096))
    return fit(bytes(reply.pack()), limit, reply)


def failure(query: dnslib.DNSRecord, rcode: str) -> bytes:
    """SERVFAIL, REFUSED, NOTIMP or FORMERR for a query."""
    reply = query.reply(ra=1, aa=0)
    reply.header.rcode = getattr(dnslib.RCODE, rcode)
    return bytes(reply.pack())


def fit(message: bytes, limit: int, reply: dnslib.DNSRecord | None = None) -> bytes:
    """`message`, or its truncated form when it is longer than `limit` bytes."""
    if not limit or len(message) <= limit:
        return message
    return bytes((reply or dnslib.DNSRecord.parse(message)).truncate().pack())
