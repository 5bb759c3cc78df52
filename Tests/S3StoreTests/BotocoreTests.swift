import Bytes
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// Our signatures compared with those of Amazon's own Python library, for generated requests.
@Suite struct BotocoreTests {
    /// Reads one request per line, its fields in hex; writes the value of the Authorization header.
    private static let signer = """
        import sys
        from urllib.parse import quote
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from botocore.utils import percent_encode

        def pairs(text):
            return [tuple(item.split('\\x01')) for item in text.split('\\x02')] if text else []

        for line in open(sys.argv[1]):
            fields = [bytes.fromhex(field).decode() for field in line.rstrip('\\n').split(',')]
            method, host, key, query, headers, digest, date, region, access, secret, token = fields
            request = AWSRequest(
                method=method, url='https://' + host + '/' + percent_encode(key, safe='/~'),
                params=pairs(query), headers=dict(pairs(headers)))
            request.headers['X-Amz-Content-SHA256'] = digest
            request.headers['X-Amz-Date'] = date
            if token:
                request.headers['X-Amz-Security-Token'] = token
            request.context['timestamp'] = date
            auth = S3SigV4Auth(Credentials(access, secret, token or None), 's3', region)
            canonical = auth.canonical_request(request)
            signature = auth.signature(auth.string_to_sign(request, canonical), request)
            print('AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=%s, Signature=%s' % (
                auth.scope(request), auth.signed_headers(auth.headers_to_sign(request)),
                signature))
        """

    private struct Sample {
        let signature: Signature
        let host: String
        let key: String
        let parts: SignedParts
        let extra: [(name: String, value: String)]

        init(_ generator: inout some RandomNumberGenerator) {
            let token = Bool.random(using: &generator) ? text(&generator, 1...300) : nil
            signature = Signature(
                credentials: Credentials(
                    accessKey: "AK" + word(&generator), secretKey: Secret(text(&generator, 1...64)),
                    sessionToken: token.map { Secret($0) }),
                region: ["us-east-1", "eu-central-2", "auto"].randomElement(using: &generator)
                    ?? "",
                timestamp: Timestamp(
                    secondsSince1970: Int.random(in: 0...4_000_000_000, using: &generator)))
            host = word(&generator) + ".example.com"
            key = (0...Int.random(in: 0...4, using: &generator))
                .map { _ in text(&generator, 1...12) }.joined(separator: "/")
            var names: Set<String> = []
            extra = (0..<Int.random(in: 0...3, using: &generator)).compactMap { _ in
                let name = "x-amz-meta-" + word(&generator)
                guard names.insert(name).inserted else { return nil }
                return (name, word(&generator) + "   " + word(&generator) + " ")
            }
            let digest = Digest(of: Array(key.utf8)).hex
            parts = SignedParts(
                method: ["GET", "PUT", "HEAD", "DELETE"].randomElement(using: &generator) ?? "",
                path: "/" + PercentCoding.encodePath(key),
                query: (0..<Int.random(in: 0...5, using: &generator)).map { _ in
                    (text(&generator, 1...8), text(&generator, 0...12))
                },
                headers: extra + [
                    ("Host", host), ("x-amz-content-sha256", digest),
                    ("X-Amz-Date", signature.timestamp.text),
                ] + (token.map { [("x-amz-security-token", $0)] } ?? []),
                bodyDigest: digest)
        }

        /// The signer's input.
        var line: String {
            [
                parts.method, host, key, joined(parts.query), joined(extra), parts.bodyDigest,
                signature.timestamp.text, signature.region, signature.credentials.accessKey,
                signature.credentials.secretKey.revealed,
                signature.credentials.sessionToken?.revealed ?? "",
            ].map(hex).joined(separator: ",")
        }

        private func joined(_ pairs: [(name: String, value: String)]) -> String {
            pairs.map { "\($0.name)\u{1}\($0.value)" }.joined(separator: "\u{2}")
        }
    }

    @Test func agreeOnGeneratedRequests() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        let samples = (0..<1000).map { _ in Sample(&generator) }
        let directory = try TemporaryDirectory()
        try directory.file("signer.py", Self.signer)
        try directory.file("requests", samples.map { $0.line + "\n" }.joined())

        let command = "cd \(directory.path) && python3 signer.py requests >answers 2>errors"
        let status = system(command)
        let errors = String(decoding: try Files.read(directory.path + "/errors"), as: UTF8.self)
        try #require(
            status == 0,
            "botocore's signer did not run; install it: pip install botocore. \(errors)")
        let answers = String(decoding: try Files.read(directory.path + "/answers"), as: UTF8.self)
            .split(separator: "\n")
        try #require(answers.count == samples.count)
        for (sample, answer) in zip(samples, answers) {
            #expect(
                sample.signature.authorization(for: sample.parts) == answer,
                "seed \(seed), key \(sample.key), query \(sample.parts.query)")
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014), so that a failing test can be repeated with its seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

private func word(_ generator: inout some RandomNumberGenerator) -> String {
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    return String((0..<6).compactMap { _ in letters.randomElement(using: &generator) })
}

/// Unusual characters on purpose; no white space at the ends, which HTTP does not preserve.
private func text(
    _ generator: inout some RandomNumberGenerator, _ lengths: ClosedRange<Int>
) -> String {
    let odd = Array("aZ9-._~!*'()$&+,:;=@%\"<>[]{}|^`#?é漢😀")
    let count = Int.random(in: lengths, using: &generator)
    return String((0..<count).compactMap { _ in odd.randomElement(using: &generator) })
}

private func hex(_ text: String) -> String {
    text.utf8.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}
