// A client in Node.js on the proto files alone: upload, submit, watch, report, labels.
//
//     npm ci
//     node client.js 127.0.0.1:50051 ../../soil_field.csv labels.csv
"use strict";

const { randomUUID } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const PROTOS = path.join(__dirname, "..", "..", "..", "protos");
const CHUNK_BYTES = 1 << 20;

// int64 as text: a JavaScript number holds 53 bits of it.
const definitions = protoLoader.loadSync(
  ["kmeans/v1/dataset_service.proto", "kmeans/v1/job_service.proto"],
  { includeDirs: [PROTOS], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true },
);
const { DatasetService, JobService } = grpc.loadPackageDefinition(definitions).kmeans.v1;

const once = (client, method, request) =>
  new Promise((resolve, reject) => {
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });

function upload(datasets, table) {
  return new Promise((resolve, reject) => {
    const call = datasets.UploadDataset((error, dataset) => (error ? reject(error) : resolve(dataset)));
    // With a request_id the same upload may be sent again after a broken connection.
    call.write({ header: { display_name: path.basename(table), request_id: randomUUID() } });
    const file = fs.createReadStream(table, { highWaterMark: CHUNK_BYTES });
    file.on("error", (error) => {
      call.cancel();
      reject(error);
    });
    file.on("data", (chunk) => {
      // Wait for the network rather than fill the memory.
      if (!call.write({ chunk })) {
        file.pause();
        call.once("drain", () => file.resume());
      }
    });
    file.on("end", () => call.end());
  });
}

async function main(target, table, labels) {
  const datasets = new DatasetService(target, grpc.credentials.createInsecure());
  const jobs = new JobService(target, grpc.credentials.createInsecure());

  const dataset = await upload(datasets, table);
  console.log(`${dataset.name}: ${dataset.row_count} rows, ${dataset.columns.length} columns`);

  const spec = { dataset: dataset.name, max_k: 4, n_experiments: 2 };
  const created = await once(jobs, "CreateJob", { spec, request_id: randomUUID() });
  let { job } = created;
  console.log(`${job.name}: ${created.planned_task_count} tasks`);

  for await (const step of jobs.WatchJob({ name: job.name, job_only: true })) {
    job = step.job;
    const { done, degenerate, total } = job.task_counts;
    console.log(`${job.state} ${done + degenerate}/${total}`);
  }
  if (job.state !== "JOB_STATE_SUCCEEDED") {
    throw new Error(`The job did not succeed. ${job.failure}`);
  }

  const { best } = await once(jobs, "GetReport", { name: job.name });
  console.log(`Best: K = ${best.k}, ${best.covariance}, BIC ${best.result.bic.toFixed(1)}, ${best.task}`);

  const file = fs.openSync(labels, "w");
  for await (const part of jobs.ExportLabels({ name: best.task })) {
    fs.writeSync(file, part.chunk);
  }
  fs.closeSync(file);
  console.log(`Labels are in ${labels}`);
  datasets.close();
  jobs.close();
}

if (process.argv.length !== 5) {
  console.error("usage: client.js HOST:PORT TABLE LABELS.csv");
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  console.error(error.code === undefined ? error.message : `${grpc.status[error.code] ?? error.code}: ${error.details}`);
  process.exit(1);
});
