import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd.CommandTests {
    @Test func probeAdmitsAFileStoreAndSeaweedFS() throws {
        let place = try CommandPlace()
        #expect(
            try place.run(["probe"]).checked().text
                == "'\(place.store)' passed the conformance probe: width 32, rounds 3, "
                + "transportDrops 0, ETags quoted, body checks: its own\n")
        let bucket = try StoreUnderTest.seaweed.makeBucket()
        let result = try CommandPlace.run(
            ["probe", "--width", "3", "--rounds", "1", "--store", bucket.url()],
            bucket.environment
        ).checked()
        let words =
            "passed the conformance probe: width 3, rounds 1, transportDrops 0, ETags quoted, "
            + "body checks: x-amz-checksum-sha256, SHA-256 in HEAD, Content-MD5, MD5 ETag, "
            + "server: 'SeaweedFS"
        #expect(result.text.contains(words), "\(result)")
    }

    @Test func storeThatIgnoresConditionsIsRefusedByProbeServeAndCreate() throws {
        let bucket = try StoreUnderTest.seaweed.makeBucket()
        let proxy = try bucket.makeProxy()
        proxy.on("PUT", .probe, times: 100_000, .hideFailedCondition)
        let state = try TemporaryDirectory()
        let options = ["--store", bucket.url(through: proxy), "--state-dir", state.path]
        for command in [
            ["probe"], ["create", "a/b"],
            ["serve", "--listen", "unix:\(state.path)/socket"],
        ] {
            let result = try CommandPlace.run(command + options, bucket.environment)
            #expect(result.ending == .exited(1), "\(result)")
            #expect(
                result.errors.contains(
                    "failed the conformance probe: sequential, round "
                        + "1"), "\(result)")
        }
        #expect(try bucket.listing() == [])
        #expect(access("\(state.path)/socket", F_OK) != 0)
    }

    @Test func secretsAreInNoOutputAndNoLog() throws {
        let bucket = try StoreUnderTest.seaweed.makeBucket()
        let proxy = try bucket.makeProxy()
        for kind in [FaultProxy.StoredKind.probe, .pointer, .other] {
            for method in ["GET", "PUT", "HEAD", "DELETE"] {
                proxy.on(method, kind, times: 1000, .answer(403, "SignatureDoesNotMatch"))
            }
        }
        let state = try TemporaryDirectory()
        var environment = bucket.environment
        environment["AWS_SESSION_TOKEN"] = "token-of-a-session"
        environment["GIT_S3_BACKEND_LOG_LEVEL"] = "debug"
        for command in [["probe"], ["create", "a/b"], ["show", "a/b"]] {
            let result = try CommandPlace.run(
                command + ["--store", bucket.url(through: proxy), "--state-dir", state.path],
                environment)
            #expect(result.ending == .exited(1), "\(result)")
            for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
                let secret = try #require(environment[name])
                #expect(!(result.text + result.errors).contains(secret), "\(name)")
            }
        }
    }
}
