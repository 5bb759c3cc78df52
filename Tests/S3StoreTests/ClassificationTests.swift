import Bytes
import ObjectStore
import Testing

@testable import S3Store

/// The meaning of S3's answers.
@Suite struct ClassificationTests {
    private let key = ObjectKey.probe(run: "r", name: "n")
    private var get: StoreRequest { .get(key, into: .memory(limit: 10)) }
    private let tag = ETag("\"t\"")

    private func put(_ condition: PutCondition) -> StoreRequest {
        .put(.bytes([1]), at: key, condition)
    }

    /// The name of the answer, or the case and text of the error.
    private func outcome(
        _ request: StoreRequest, _ status: Int, _ code: String = "", headers: HTTPHeaders = [:],
        region: String? = nil
    ) -> String {
        var answer = HTTPAnswer(status: status, headers: headers)
        answer.error.code = code
        answer.error.region = region
        do {
            let classification = Classification(bucket: "my-bucket", region: "us-east-1")
            return "\(try classification.answer(to: request, answer))"
        } catch {
            let name = "\(Mirror(reflecting: error).children.first?.label ?? "")"
            return "\(name): \(error)"
        }
    }

    @Test func aMissingObjectIsAbsentOnlyByName() {
        #expect(outcome(get, 404, "NoSuchKey") == "absent")
        #expect(outcome(get, 404).hasPrefix("rejected"))
        #expect(outcome(.delete(key), 404, "NoSuchKey") == "absent")
        #expect(outcome(.head(key), 404) == "absent")
        #expect(outcome(.delete(key), 204) == "deleted")
    }

    @Test func aPartIsNotTheObject() {
        #expect(outcome(get, 200).hasPrefix("found"))
        #expect(outcome(get, 206).hasPrefix("rejected"))
    }

    @Test func aMissingBucketIsNamed() {
        for request in [get, put(.always), put(.ifAbsent), .delete(key)] {
            let said = outcome(request, 404, "NoSuchBucket")
            #expect(said.hasPrefix("misconfigured") && said.contains("'my-bucket'"), "\(said)")
        }
    }

    @Test func conditionalWritesAreRefusedByValue() throws {
        let ifMatch = PutCondition.ifMatch(try #require(tag))
        for condition in [PutCondition.ifAbsent, ifMatch] {
            #expect(outcome(put(condition), 412, "PreconditionFailed").contains("conditionFailed"))
            #expect(outcome(put(condition), 409, "ConditionalRequestConflict").contains("conflict"))
        }
        #expect(outcome(put(ifMatch), 404, "NoSuchKey").contains("Refusal.absent"))
        #expect(outcome(put(.ifAbsent), 404, "NoSuchKey").hasPrefix("rejected"))
        #expect(outcome(put(.always), 412, "PreconditionFailed").hasPrefix("rejected"))
        #expect(outcome(put(.always), 409, "OperationAborted").hasPrefix("unavailable"))
    }

    @Test func etagsAreTakenAsTheyStand() {
        #expect(outcome(put(.always), 200, headers: ["etag": "\"a-b\""]).contains("\"a-b\""))
        #expect(outcome(put(.always), 200, headers: ["etag": "bare"]).contains("bare"))
        #expect(outcome(put(.always), 200, headers: ["etag": "W/\"a\""]) == "stored(nil)")
        #expect(outcome(put(.always), 200) == "stored(nil)")
    }

    @Test func aLookGivesSizeAndChecksum() throws {
        let digest = Digest(of: [1])
        let checksum = Base64.encode(digest.raw)
        let found = outcome(
            .head(key), 200,
            headers: [
                "content-length": "12", "etag": "\"e\"", "x-amz-checksum-sha256": checksum,
            ])
        #expect(found.contains("size: 12") && found.contains(digest.hex), "\(found)")
        let parts = outcome(
            .head(key), 200,
            headers: ["content-length": "12", "x-amz-checksum-sha256": checksum + "-3"])
        #expect(parts.contains("storedChecksum: nil"))
        #expect(outcome(.head(key), 200).hasPrefix("nonConforming"))
    }

    @Test(arguments: [408, 429, 500, 502, 503, 504, 520])
    func aServersTroubleIsTransient(_ status: Int) {
        #expect(outcome(get, status).hasPrefix("unavailable"))
        #expect(outcome(put(.ifAbsent), status).hasPrefix("unavailable"))
    }

    @Test func somePassingTroublesAreKnownByCode() {
        #expect(outcome(get, 400, "RequestTimeout").hasPrefix("unavailable"))
        #expect(outcome(get, 403, "SlowDown").hasPrefix("unavailable"))
        #expect(outcome(get, 501, "NotImplemented").hasPrefix("rejected"))
        #expect(outcome(get, 400, "InvalidRequest").hasPrefix("rejected"))
    }

    @Test func refusedAccessSaysWhatToDo() {
        #expect(outcome(get, 403, "AccessDenied").contains("Allow s3:GetObject"))
        #expect(outcome(get, 401).hasPrefix("denied"))
        let expired = outcome(get, 400, "ExpiredToken")
        #expect(expired.hasPrefix("denied") && expired.contains("credentials"), "\(expired)")
        #expect(outcome(get, 403, "SignatureDoesNotMatch").contains("credentials"))
        #expect(outcome(get, 403, "RequestTimeTooSkewed").contains("clock"))
    }

    @Test func aBucketElsewhereNamesItsRegion() {
        let moved = outcome(
            get, 301, "PermanentRedirect", headers: ["x-amz-bucket-region": "eu-west-1"])
        #expect(moved.hasPrefix("misconfigured") && moved.contains("region=eu-west-1"), "\(moved)")
        let malformed = outcome(get, 400, "AuthorizationHeaderMalformed", region: "eu-west-1")
        #expect(malformed.contains("region=eu-west-1"), "\(malformed)")
        #expect(outcome(get, 307, "TemporaryRedirect").contains("endpoint"))
    }

    @Test func errorBodiesGiveTheirCode() {
        let body = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Key>k</Key></Error>"
        #expect(ErrorBody(Array(body.utf8)).code == "NoSuchKey")
        #expect(ErrorBody(Array("<html>no".utf8)).code == "")
        #expect(ErrorBody([]).code == "")
        #expect(ErrorBody(Array("<Error><Code>a\nb</Code></Error>".utf8)).code == "")
    }

    @Test func listingsAreDecoded() throws {
        let body = """
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
            <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
            <Contents><Key>a%2Bb/c+d</Key><ETag>&quot;x&quot;</ETag><Size>3</Size></Contents>
            <Contents><Key>e</Key><Size>4</Size></Contents></ListBucketResult>
            """
        let listing = try #require(Listing(Array(body.utf8)))
        #expect(listing.objects.map(\.key) == ["a+b/c d", "e"])
        #expect(listing.objects.map(\.size) == [3, 4])
        #expect(listing.isTruncated)
        #expect(Listing(Array("<Error><Code>x</Code></Error>".utf8)) == nil)
        #expect(Listing(Array(body.utf8.dropLast())) == nil)
    }

    @Test func base64IsItsOwnInverse() {
        for bytes in [[1], [1, 2], [1, 2, 3], Array(0...255)] as [[UInt8]] {
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
        }
        for bad in ["", "a", "ab=", "a*==", "abcde"] { #expect(Base64.decode(bad) == nil) }
    }
}
