import Bytes
import ObjectStore
import Testing

@testable import S3Store

/// Examples that Amazon has published, with their signatures.
@Suite struct SignatureTests {
    private static let emptyBody = Digest(of: []).hex

    /// Amazon S3 API Reference, "Examples: Signature Calculations".
    private let s3 = Signature(
        credentials: Credentials(
            accessKey: "AKIAIOSFODNN7EXAMPLE",
            secretKey: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), sessionToken: nil),
        region: "us-east-1", timestamp: Timestamp(secondsSince1970: 1_369_353_600))

    private func s3Parts(
        _ path: String, query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)] = []
    ) -> SignedParts {
        SignedParts(
            method: "GET", path: path, query: query,
            headers: headers + [
                ("x-amz-date", "20130524T000000Z"), ("x-amz-content-sha256", Self.emptyBody),
                ("Host", "examplebucket.s3.amazonaws.com"),
            ], bodyDigest: Self.emptyBody)
    }

    @Test func signsGetObject() {
        let parts = s3Parts("/test.txt", headers: [("Range", "bytes=0-9")])
        #expect(
            s3.authorization(for: parts)
                == "AWS4-HMAC-SHA256 "
                + "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                + "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                + "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
        #expect(
            s3.stringToSign(Signature.canonicalRequest(parts))
                == "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
                + "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972")
    }

    @Test func signsPutObject() {
        let digest = Digest(of: Array("Welcome to Amazon S3.".utf8)).hex
        let parts = SignedParts(
            method: "PUT", path: "/" + PercentCoding.encodePath("test$file.text"),
            headers: [
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("host", "examplebucket.s3.amazonaws.com"), ("x-amz-content-sha256", digest),
                ("x-amz-date", "20130524T000000Z"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ], bodyDigest: digest)
        #expect(
            s3.authorization(for: parts).hasSuffix(
                "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"))
    }

    @Test func signsGetBucketLifecycleAndListObjects() {
        #expect(
            s3.authorization(for: s3Parts("/", query: [("lifecycle", "")])).hasSuffix(
                "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"))
        let list = s3Parts("/", query: [("prefix", "J"), ("max-keys", "2")])
        #expect(
            s3.authorization(for: list).hasSuffix(
                "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"))
    }

    /// The "aws-sig-v4-test-suite".
    @Test(arguments: [
        (
            [("Param2", "value2"), ("Param1", "value1")],
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        ),
        ([], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ])
    func signsTheTestSuite(_ query: [(String, String)], _ expected: String) {
        let suite = Signature(
            credentials: Credentials(
                accessKey: "AKIDEXAMPLE",
                secretKey: Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), sessionToken: nil),
            region: "us-east-1", service: "service",
            timestamp: Timestamp(secondsSince1970: 1_440_938_160))
        let parts = SignedParts(
            method: "GET", path: "/", query: query.map { ($0.0, $0.1) },
            headers: [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
            bodyDigest: Self.emptyBody)
        #expect(suite.authorization(for: parts).hasSuffix("Signature=\(expected)"))
    }

    @Test func timestampsAreUTC() {
        #expect(Timestamp(secondsSince1970: 0).text == "19700101T000000Z")
        #expect(Timestamp(secondsSince1970: 1_709_251_199).text == "20240229T235959Z")
    }

    @Test func requestsCarryWhatIsSigned() throws {
        let location = try S3Location(
            "s3://bucket/pre?endpoint=http://127.0.0.1:8333", environment: [:])
        let credentials = Credentials(
            accessKey: "id", secretKey: Secret("s"), sessionToken: Secret("tok"))
        let signed = location.sign(
            HTTPRequest(
                attempt: .init(.list, ""), method: .get, key: "",
                query: [("prefix", "a/b c"), ("list-type", "2")]),
            with: credentials, at: Timestamp(secondsSince1970: 0))
        #expect(signed.url == "http://127.0.0.1:8333/bucket?list-type=2&prefix=a%2Fb%20c")
        #expect(signed.headers.contains("host: 127.0.0.1:8333"))
        #expect(signed.headers.contains("x-amz-date: 19700101T000000Z"))
        #expect(signed.headers.contains("x-amz-security-token: tok"))
        #expect(signed.headers.contains("x-amz-content-sha256: \(Self.emptyBody)"))
        let names = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
        #expect(signed.headers.contains { $0.contains("SignedHeaders=\(names),") })
    }

    @Test func virtualHostsNameTheBucket() throws {
        let location = try S3Location("s3://bucket/pre?region=eu-1", environment: [:])
        let signed = location.sign(
            HTTPRequest(attempt: .init(.get, "k"), method: .get, key: "pre/k"),
            with: Credentials(accessKey: "id", secretKey: Secret("s"), sessionToken: nil),
            at: .now)
        #expect(signed.url == "https://bucket.s3.eu-1.amazonaws.com/pre/k")
        #expect(signed.headers.contains("host: bucket.s3.eu-1.amazonaws.com"))
    }

    @Test func encodesAllButUnreserved() {
        #expect(PercentCoding.encode("aZ09-._~ /+é=&%") == "aZ09-._~%20%2F%2B%C3%A9%3D%26%25")
        #expect(PercentCoding.encodePath("a/b c") == "a/b%20c")
        #expect(PercentCoding.decode("a%2Fb+%c3%A9") == "a/b+é")
        for bad in ["%", "%4", "%zz", "%ff"] { #expect(PercentCoding.decode(bad) == nil) }
    }
}
