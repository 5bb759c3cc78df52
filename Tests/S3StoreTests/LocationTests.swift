import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// A store's location.
@Suite struct LocationTests {
    private func location(
        _ text: String, _ environment: [String: String] = ["AWS_REGION": "eu-west-1"]
    ) throws -> S3Location {
        try S3Location(text, environment: environment)
    }

    private func refusal(_ text: String, _ environment: [String: String] = [:]) -> String {
        do {
            return "accepted: \(try S3Location(text, environment: environment))"
        } catch {
            return "\(error)"
        }
    }

    @Test func namesBucketAndPrefix() throws {
        let plain = try location("s3://my-bucket")
        #expect(plain.bucket == "my-bucket")
        #expect(plain.prefix == "")
        #expect(plain.description == "s3://my-bucket")

        let deep = try location("s3://my-bucket/a/b.c/")
        #expect(deep.prefix == "a/b.c/")
        #expect(deep.description == "s3://my-bucket/a/b.c")
    }

    @Test func amazonIsAddressedByVirtualHost() throws {
        let store = try location("s3://my-bucket/p")
        #expect(store.addressing == .virtualHost)
        #expect(store.endpoint.description == "https://s3.eu-west-1.amazonaws.com")
        #expect(store.checksums == nil && store.isAmazon)
        let china = try location("s3://my-bucket?region=cn-north-1")
        #expect(china.endpoint.description == "https://s3.cn-north-1.amazonaws.com.cn")
    }

    @Test func dotsInTheBucketOrAnEndpointMeanPathAddressing() throws {
        #expect(try location("s3://my.bucket").addressing == .path)
        let own = try location("s3://my-bucket?endpoint=https://s3.example.com")
        #expect(own.addressing == .path)
        #expect(own.checksums == nil && !own.isAmazon)
        let chosen = try location(
            "s3://my-bucket?endpoint=https://s3.example.com&addressing=virtual")
        #expect(chosen.addressing == .virtualHost)
    }

    @Test func itemsGoBeforeTheEnvironmentAndAreDecoded() throws {
        let environment = [
            "AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1", "AWS_ENDPOINT_URL_S3": "http://c",
            "AWS_ENDPOINT_URL": "http://d", "AWS_PROFILE": "e", "AWS_CA_BUNDLE": "/f",
        ]
        let byItems = try location(
            "s3://bucket?endpoint=http%3A%2F%2Flocalhost%3A8333&region=us-east-1&profile=x"
                + "&ca-file=/tmp/a%20b.pem&connect-timeout=7&stall-timeout=9&checksum=sha256",
            environment)
        #expect(byItems.endpoint.description == "http://localhost:8333")
        #expect(byItems.region == "us-east-1")
        #expect(byItems.profile == .required("x"))
        #expect(byItems.authorities == "/tmp/a b.pem")
        #expect(byItems.connectTimeout == .seconds(7))
        #expect(byItems.stallTimeout == .seconds(9))
        #expect(byItems.checksums == .sha256)

        let byEnvironment = try location("s3://bucket", environment)
        #expect(byEnvironment.endpoint.description == "http://c")
        #expect(byEnvironment.region == "a-1")
        #expect(byEnvironment.profile == .fallback("e"))
        #expect(byEnvironment.authorities == "/f")
        #expect(byEnvironment.connectTimeout == .seconds(5))
        #expect(byEnvironment.stallTimeout == .seconds(30))
    }

    @Test func largeObjectsAreCutAsAskedFor() throws {
        #expect(
            try location("s3://bucket").partSizes == PartSizes(threshold: 64 << 20, part: 16 << 20))
        let asked = try location("s3://bucket?part-size=5M&multipart-threshold=1GiB")
        #expect(asked.partSizes == PartSizes(threshold: 1 << 30, part: 5 << 20))
    }

    @Test func lesserVariablesAreUsedWhereTheGreaterAreMissing() throws {
        let store = try location(
            "s3://bucket", ["AWS_DEFAULT_REGION": "b-1", "AWS_ENDPOINT_URL": "http://d:1/"])
        #expect(store.region == "b-1")
        #expect(store.endpoint.description == "http://d:1")
    }

    @Test func theProfileGivesRegionAndEndpoint() throws {
        let directory = try TemporaryDirectory()
        try directory.file(
            "config",
            """
            [default]
            region = eu-north-1
            [profile own]
            region=us-east-1
            endpoint_url = http://127.0.0.1:9000
            """)
        let environment = ["AWS_CONFIG_FILE": directory.path + "/config"]
        #expect(try location("s3://bucket", environment).region == "eu-north-1")
        let own = try location("s3://bucket?profile=own", environment)
        #expect(own.endpoint.description == "http://127.0.0.1:9000")
    }

    @Test(arguments: [
        ("file:///x", "s3://BUCKET"), ("s3://", "is not a valid bucket name"),
        ("s3://ab", "is not a valid bucket name"), ("s3://Bucket", "is not a valid bucket name"),
        ("s3://-bucket", "is not a valid bucket name"),
        ("s3://buc..ket", "is not a valid bucket name"),
        ("s3://my_bucket", "is not a valid bucket name"), ("s3://bucket/a//b", "prefix"),
        ("s3://bucket//", "prefix"), ("s3://bucket/../b", "'..' cannot be part of a prefix"),
        ("s3://bucket/./b", "'.' cannot be part of a prefix"), ("s3://bucket/a b", "'a b'"),
        ("s3://bucket?colour=red", "parameter 'colour' in the store's URL: expected endpoint"),
        ("s3://bucket?region", "needs a value"), ("s3://bucket?region=%zz", "needs a value"),
        ("s3://bucket?region=a&region=b", "is repeated"),
        (
            "s3://bucket?addressing=dns",
            "'dns' for addressing in the store's URL: expected path or virtual"
        ),
        ("s3://bucket?connect-timeout=soon", "a number of seconds"),
        ("s3://bucket?stall-timeout=0", "Invalid value '0' for stall-timeout"),
        ("s3://bucket?part-size=4M", "such as 64M, from 5M to 5G."),
        ("s3://bucket?part-size=6G", "from 5M to 5G"),
        ("s3://bucket?multipart-threshold=much", "a size such as 64M"),
        ("s3://bucket?region=US", "lower-case letters"), ("s3://bucket", "No region specified"),
        ("s3://bucket?endpoint=localhost:1", "an endpoint is http"),
        ("s3://bucket?endpoint=http://h/path", "without a path"),
        ("s3://bucket?endpoint=http://h:99999", "an endpoint is http"),
        (
            "s3://bucket?endpoint=http://127.0.0.1:1&addressing=virtual",
            "a host name, not an address"
        ),
    ])
    func errorsNameTheirCause(_ text: String, _ part: String) {
        let said = refusal(text)
        #expect(said.contains(part), "\(said)")
    }

    @Test func secretsInTheLocationAreNotRepeated() {
        for text in [
            "s3://key:hunter2@bucket/p", "s3://bucket?endpoint=http://key:hunter2@host",
            "hunter2://x", "s3://bucket?region=eu-1&region=hunter2",
        ] {
            let said = refusal(text)
            #expect(!said.contains("hunter2") && !said.contains("accepted"), "\(said)")
        }
    }
}
