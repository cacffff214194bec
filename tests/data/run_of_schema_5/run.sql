BEGIN TRANSACTION;
CREATE TABLE checkpoints (
        student TEXT NOT NULL, step INTEGER NOT NULL, folder TEXT NOT NULL,
        data_format TEXT NOT NULL, encoder_decoder INTEGER NOT NULL,
        examples INTEGER NOT NULL, too_long INTEGER NOT NULL, settings_hash TEXT NOT NULL, parameters INTEGER NOT NULL DEFAULT 0, soft_share REAL,
        PRIMARY KEY (student, step)
    );
INSERT INTO "checkpoints" VALUES('answers_same',2,'checkpoints/answers_same-ce92c6e9/checkpoint-000002','fine_tune_answer',0,8,0,'df4126b2c541',668544,NULL);
INSERT INTO "checkpoints" VALUES('answers_same',4,'checkpoints/answers_same-ce92c6e9/checkpoint-000004','fine_tune_answer',0,8,0,'df4126b2c541',668544,NULL);
INSERT INTO "checkpoints" VALUES('answers_big_one',2,'checkpoints/answers_big_one-17855272/checkpoint-000002','fine_tune_answer',0,8,0,'df4126b2c541',2367552,NULL);
INSERT INTO "checkpoints" VALUES('answers_big_one',4,'checkpoints/answers_big_one-17855272/checkpoint-000004','fine_tune_answer',0,8,0,'df4126b2c541',2367552,NULL);
INSERT INTO "checkpoints" VALUES('rationales_all_same',2,'checkpoints/rationales_all_same-5920542c/checkpoint-000002','fine_tune_cot',0,4,0,'df4126b2c541',668544,NULL);
INSERT INTO "checkpoints" VALUES('rationales_all_same',4,'checkpoints/rationales_all_same-5920542c/checkpoint-000004','fine_tune_cot',0,4,0,'df4126b2c541',668544,NULL);
INSERT INTO "checkpoints" VALUES('rationales_all_big_one',2,'checkpoints/rationales_all_big_one-5eb1b875/checkpoint-000002','fine_tune_cot',0,4,0,'df4126b2c541',2367552,NULL);
INSERT INTO "checkpoints" VALUES('rationales_all_big_one',4,'checkpoints/rationales_all_big_one-5eb1b875/checkpoint-000004','fine_tune_cot',0,4,0,'df4126b2c541',2367552,NULL);
CREATE TABLE choices (
        student TEXT NOT NULL, rule TEXT NOT NULL, step INTEGER NOT NULL, used INTEGER NOT NULL,
        settings_hash TEXT NOT NULL, PRIMARY KEY (student, rule)
    );
INSERT INTO "choices" VALUES('answers_same','in_distribution',2,1,'aee1ec619fe1');
INSERT INTO "choices" VALUES('answers_same','out_of_distribution',2,0,'aee1ec619fe1');
INSERT INTO "choices" VALUES('answers_same','worst_case',2,0,'aee1ec619fe1');
INSERT INTO "choices" VALUES('answers_big_one','in_distribution',2,1,'aee1ec619fe1');
INSERT INTO "choices" VALUES('answers_big_one','out_of_distribution',4,0,'aee1ec619fe1');
INSERT INTO "choices" VALUES('answers_big_one','worst_case',4,0,'aee1ec619fe1');
INSERT INTO "choices" VALUES('rationales_all_same','in_distribution',2,1,'aee1ec619fe1');
INSERT INTO "choices" VALUES('rationales_all_same','out_of_distribution',2,0,'aee1ec619fe1');
INSERT INTO "choices" VALUES('rationales_all_same','worst_case',2,0,'aee1ec619fe1');
INSERT INTO "choices" VALUES('rationales_all_big_one','in_distribution',2,1,'aee1ec619fe1');
INSERT INTO "choices" VALUES('rationales_all_big_one','out_of_distribution',2,0,'aee1ec619fe1');
INSERT INTO "choices" VALUES('rationales_all_big_one','worst_case',2,0,'aee1ec619fe1');
CREATE TABLE comparisons (
        task TEXT NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL, only_first INTEGER NOT NULL,
        only_second INTEGER NOT NULL, total INTEGER NOT NULL, difference REAL NOT NULL,
        low REAL NOT NULL, high REAL NOT NULL, p_value REAL NOT NULL, settings_hash TEXT NOT NULL
    );
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','teacher',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','start_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','start',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same_zero_shot_cot','start_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one_zero_shot_cot','start_zero_shot_cot',1,0,2,0.5,0.0,1.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same_zero_shot_cot','start_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one_zero_shot_cot','start_zero_shot_cot',1,0,2,0.5,0.0,1.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same_zero_shot_cot','start_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one_zero_shot_cot','start_zero_shot_cot',2,0,2,1.0,1.0,1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same_zero_shot_cot','start_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one_zero_shot_cot','start_zero_shot_cot',2,0,2,1.0,1.0,1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','start_big_one_zero_shot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','start_big_one',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same_zero_shot_cot','start_big_one_zero_shot_cot',0,1,2,-0.5,-1.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one_zero_shot_cot','start_big_one_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same_zero_shot_cot','start_big_one_zero_shot_cot',0,1,2,-0.5,-1.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one_zero_shot_cot','start_big_one_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same_zero_shot_cot','start_big_one_zero_shot_cot',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one_zero_shot_cot','start_big_one_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same_zero_shot_cot','start_big_one_zero_shot_cot',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one_zero_shot_cot','start_big_one_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','answers_same_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','answers_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','answers_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','answers_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_same','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','answers_same_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','answers_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','answers_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','answers_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_same','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','answers_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one_zero_shot_cot','answers_same_zero_shot_cot',1,0,2,0.5,0.0,1.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same_zero_shot_cot','answers_same_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one_zero_shot_cot','answers_same_zero_shot_cot',1,0,2,0.5,0.0,1.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one_zero_shot_cot','answers_same_zero_shot_cot',2,0,2,1.0,1.0,1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same_zero_shot_cot','answers_same_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one_zero_shot_cot','answers_same_zero_shot_cot',2,0,2,1.0,1.0,1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','answers_big_one_zero_shot_cot',0,1,2,-0.5,-1.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','answers_big_one@4',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','answers_big_one',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','answers_big_one',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','answers_big_one','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','answers_big_one_zero_shot_cot',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','answers_big_one@4',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','answers_big_one',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','answers_big_one',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','answers_big_one','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','answers_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same_zero_shot_cot','answers_big_one_zero_shot_cot',0,1,2,-0.5,-1.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one_zero_shot_cot','answers_big_one_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same_zero_shot_cot','answers_big_one_zero_shot_cot',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one_zero_shot_cot','answers_big_one_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','rationales_all_same_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','rationales_all_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_same','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','rationales_all_same_zero_shot_cot',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','rationales_all_same',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_same','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','rationales_all_same_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one_zero_shot_cot','rationales_all_same_zero_shot_cot',1,0,2,0.5,0.0,1.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one_zero_shot_cot','rationales_all_same_zero_shot_cot',2,0,2,1.0,1.0,1.0,0.5,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('fact_chain','rationales_all_big_one','rationales_all_big_one_zero_shot_cot',0,1,2,-0.5,-1.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','rationales_all_big_one_vote',0,0,2,0.0,0.0,0.0,1.0,'aee1ec619fe1');
INSERT INTO "comparisons" VALUES('two_step_arithmetic','rationales_all_big_one','rationales_all_big_one_zero_shot_cot',0,2,2,-1.0,-1.0,-1.0,0.5,'aee1ec619fe1');
CREATE TABLE completions (
        id INTEGER PRIMARY KEY, request_key BLOB NOT NULL REFERENCES requests (key),
        sample INTEGER NOT NULL, max_tokens INTEGER NOT NULL, text TEXT NOT NULL, thinking TEXT,
        finish_reason TEXT NOT NULL, error TEXT, prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL, cost REAL NOT NULL, created_at REAL NOT NULL,
        stage TEXT NOT NULL, UNIQUE (request_key, sample, max_tokens)
    );
INSERT INTO "completions" VALUES(1,X'C28497121E7368ED4FD86B4B554041D4',0,96,' Leo has 4. Leo has 4 - 2 = 2.',NULL,'stop',NULL,49,22,0.0,1.79597451145816135401e+09,'generate');
INSERT INTO "completions" VALUES(2,X'80CF7EA15A77CF942EEA2491C8F89834',1,96,' Pia has 4. Gina has 4 * 2 = 8.',NULL,'stop',NULL,40,22,0.0,1.79597451145816135401e+09,'generate');
INSERT INTO "completions" VALUES(3,X'A23D560BE24B11736FB6C40B46C55C5C',1,96,' Sam has 7. Cara has 7 + 4 = 11.',NULL,'stop',NULL,41,23,0.0,1.79597451181814479824e+09,'generate');
INSERT INTO "completions" VALUES(4,X'80CF7EA15A77CF942EEA2491C8F89834',0,96,' We know that Pia has 4. So for Gina it is 4 * 2 = 8.',NULL,'stop',NULL,40,28,0.0,1.79597451303016757964e+09,'generate');
INSERT INTO "completions" VALUES(5,X'A23D560BE24B11736FB6C40B46C55C5C',0,96,' Start with Sam, who has 11 cards. Then Cara has 11 + 4 = 15 cards.',NULL,'stop',NULL,41,32,0.0,1.79597451363640165334e+09,'generate');
INSERT INTO "completions" VALUES(6,X'AE986A354F920FEB12009D791CEB30BE',1,96,' Sam has 8. Dan has 8 - 2 = 6. Ben has 6 - 2 = 4.',NULL,'stop',NULL,49,33,0.0,1.79597451392214536663e+09,'generate');
INSERT INTO "completions" VALUES(7,X'40524EFD633A9342D39516AAA9FA21DB',0,96,' Ben has 5. Nora has 5 + 9 = 14. Gina has 14 - 8 = 6.',NULL,'stop',NULL,49,35,0.0,1.79597451548426270489e+09,'generate');
INSERT INTO "completions" VALUES(8,X'40524EFD633A9342D39516AAA9FA21DB',1,96,' We know that Ben has 9. So for Nora it is 9 - 5 = 4. So for Gina it is 4 + 2 = 6.',NULL,'stop',NULL,49,42,0.0,1.79597451780612087255e+09,'generate');
INSERT INTO "completions" VALUES(9,X'AE986A354F920FEB12009D791CEB30BE',0,96,' We know that Sam has 8. So for Dan it is 8 - 2 = 6. So for Ben it is 6 - 4 = 2.',NULL,'stop',NULL,49,42,0.0,1.79597451780612087255e+09,'generate');
INSERT INTO "completions" VALUES(10,X'C28497121E7368ED4FD86B4B554041D4',1,96,' Start with Leo, who has 4 books. Then Leo has 4 + 2 = 6 books. Then Eva has 6 - 2 = 4 books.',NULL,'stop',NULL,49,42,0.0,1.79597451780612087255e+09,'generate');
INSERT INTO "completions" VALUES(11,X'05AB70FB13F21907AC263BD90C3E4025',0,96,' Start with Cara, who has 3 balls. Then Ben has 3 + 8 = 11 balls. Then Kate has 11 * 2 = 22 balls.',NULL,'stop',NULL,58,45,0.0,1.79597452075815439227e+09,'generate');
INSERT INTO "completions" VALUES(12,X'05AB70FB13F21907AC263BD90C3E4025',1,96,' Start with Carl, who has 3 balls. Then Ben has 3 + 8 = 11 balls. Then Kate has 11 + 8 = 19 balls.',NULL,'stop',NULL,58,45,0.0,1.79597452075815439227e+09,'generate');
INSERT INTO "completions" VALUES(13,X'9100FFA5E69AF66F2FC05C35A5D66AC2',0,96,' Start with Ben, who has 8 eggs. Then Cara has 8 * 3 = 24 eggs. Then Iris has 24 - 3 = 21 eggs.',NULL,'stop',NULL,52,45,0.0,1.79597452075815439227e+09,'generate');
INSERT INTO "completions" VALUES(14,X'9100FFA5E69AF66F2FC05C35A5D66AC2',1,96,' Start with Ben, who has 10 eggs. Then Iris has 10 * 3 = 30 eggs. Then Iris has 30 - 8 = 22 eggs.',NULL,'stop',NULL,52,47,0.0,1.79597452178822326656e+09,'generate');
INSERT INTO "completions" VALUES(15,X'02CA5C2C49017CD19586AE0C91FF77FE',0,96,' We know that Hugo has 6. So for Ann it is 6 - 2 = 4. So for Pia it is 4 - 2 = 2. So for Leo it is 2 + 2 = 4.',NULL,'stop',NULL,68,56,0.0,1.79597452557016658779e+09,'generate');
INSERT INTO "completions" VALUES(16,X'02CA5C2C49017CD19586AE0C91FF77FE',1,96,' We know that Hugo has 3. So for Leo it is 3 - 2 = 1. So for Eva it is 1 * 2 = 2. So for Leo it is 2 + 2 = 4.',NULL,'stop',NULL,68,56,0.0,1.79597452557016658779e+09,'generate');
INSERT INTO "completions" VALUES(17,X'CEFD67A2F8EEBED71620D5EE09E71787',0,64,' 4.',NULL,'stop',NULL,124,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(18,X'E34394172F68B9ECEB95D8138BFA3E26',0,64,' 4.',NULL,'stop',NULL,124,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(19,X'4EE01022255EAFEFA5A429F6922B5268',0,64,' 6.',NULL,'stop',NULL,91,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(20,X'2B1B8D678F2CEBAC28D2E4841FA9E927',0,64,' 4.',NULL,'stop',NULL,91,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(21,X'82C9CD5CA9F9ABF00957E3B2AC04D1DF',0,64,' 2.',NULL,'stop',NULL,91,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(22,X'6630C7D1437E615FD38A1F3378B3B7CD',0,64,' 6.',NULL,'stop',NULL,84,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(23,X'8D469E401F8304896C35CC44723480CA',0,64,' 4.',NULL,'stop',NULL,82,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(24,X'03573DDA121C514AB0725778237A480C',0,64,' 2.',NULL,'stop',NULL,71,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(25,X'97DFEBC002201CBFB96D7FE5925369F7',0,64,' 8.',NULL,'stop',NULL,68,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(26,X'C40838CD98E6B1DBFFBBCD287B35BAD7',0,64,' 8.',NULL,'stop',NULL,62,3,0.0,1.79597452831001138688e+09,'generate');
INSERT INTO "completions" VALUES(27,X'15D9906339D39D5B9096040CBFEB378D',0,64,' 15.',NULL,'stop',NULL,73,4,0.0,1.79597452853017044071e+09,'generate');
INSERT INTO "completions" VALUES(28,X'9D3DE51ABFFE412120466FB20450805F',0,64,' 11.',NULL,'stop',NULL,64,4,0.0,1.79597452853017044071e+09,'generate');
INSERT INTO "completions" VALUES(29,X'E545BB01C0F8FD5EE2FE9307A04BE667',0,64,' 19.',NULL,'stop',NULL,103,4,0.0,1.79597452853017044071e+09,'generate');
INSERT INTO "completions" VALUES(30,X'3A276BDC8C47975611AC52D598B36230',0,64,' 22.',NULL,'stop',NULL,103,4,0.0,1.79597452853017044071e+09,'generate');
INSERT INTO "completions" VALUES(31,X'7B968A2C12DEC7CCA6308007751FC3FA',0,64,' 22.',NULL,'stop',NULL,99,4,0.0,1.79597452853017044071e+09,'generate');
INSERT INTO "completions" VALUES(32,X'EDF26D79E35BEA8D7BE06D31E6480491',0,64,' 21.',NULL,'stop',NULL,97,4,0.0,1.79597452853017044071e+09,'generate');
INSERT INTO "completions" VALUES(33,X'6BDB8CC96B73F46A873934E23679064C',0,64,' Start with Cara, who has 12 stamps. Then Eva has 12 + 7 = 19 stamps. Then Leo has 19 + 7 = 26 stamps.',NULL,'stop',NULL,51,47,0.0,1.79597461701415467261e+09,'evaluate');
INSERT INTO "completions" VALUES(34,X'A851173F0B7C8D68AE8C88E0AE9A85B1',0,64,' We know that Tom has 10. So for Emil it is 10 + 2 = 12. So for Emil it is 12 + 2 = 14. So for Alma it is 14 + 2 = 16.',NULL,'stop',NULL,69,63,0.0,1.79597461710405802721e+09,'evaluate');
INSERT INTO "completions" VALUES(35,X'D38C766396D6A128DC2B0796E682A159',0,64,' 16.',NULL,'stop',NULL,132,4,0.0,1.79597461722867894175e+09,'evaluate');
INSERT INTO "completions" VALUES(36,X'F21457BA672A5959670A322463021B86',0,64,' 26.',NULL,'stop',NULL,98,4,0.0,1.79597461722867894175e+09,'evaluate');
INSERT INTO "completions" VALUES(37,X'EE03858BE5FD41B69AE13E3E461E0A51',0,64,' Step 1: 8 + 5 = 13. Step 2: 13 * 5 = 65.',NULL,'stop',NULL,42,35,0.0,1.79597461951029300697e+09,'evaluate');
INSERT INTO "completions" VALUES(38,X'77C27F0422EF9BB352810803D5460C15',0,64,' The boxes hold 5 * 7 = 35 balls. With the loose ones there are 35 + 7 = 42.',NULL,'stop',NULL,40,38,0.0,1.79597461953634762767e+09,'evaluate');
INSERT INTO "completions" VALUES(39,X'57F51BBE4058619CBC17D17AD7BA82A4',0,64,' 42.',NULL,'stop',NULL,78,4,0.0,1.79597461964452600482e+09,'evaluate');
INSERT INTO "completions" VALUES(40,X'09210076D62461F37B55BCD6496E61E5',0,64,' 65.',NULL,'stop',NULL,77,4,0.0,1.79597461964452600482e+09,'evaluate');
INSERT INTO "completions" VALUES(41,X'5D039DD1250BC5BFD7BC37E2C15C9595',0,64,' Start with Cara, who has 9 stamps. Then Eva has 9 + 8 = 17 stamps. Then Leo has 17 + 9 = 26 stamps.',NULL,'stop',NULL,50,45,0.0,1.79597462042242455486e+09,'evaluate');
INSERT INTO "completions" VALUES(42,X'784BE21113199EA581A52F705632FA46',0,64,' We know that Dan has 10. So for Nora it is 10 + 2 = 12. So for Alma it is 12 + 6 = 18. So for Alma it is 18 - 6 = 12.',NULL,'stop',NULL,68,63,0.0,1.79597462052035284048e+09,'evaluate');
INSERT INTO "completions" VALUES(43,X'EF166609CBAC238B191BC7852F9F6A3F',0,64,' 12.',NULL,'stop',NULL,131,4,0.0,1.7959746208948688507e+09,'evaluate');
INSERT INTO "completions" VALUES(44,X'2EAEC0BCBF19BEF7C2434135A1EDEE1A',0,64,' 26.',NULL,'stop',NULL,95,4,0.0,1.7959746208948688507e+09,'evaluate');
INSERT INTO "completions" VALUES(45,X'4DBCDA75A27EC7B0A0E74CB5D0785A50',0,64,' We start with 5 * 7 = 35. Next we get 35 + 9 = 44.',NULL,'stop',NULL,39,33,0.0,1.79597462131124114993e+09,'evaluate');
INSERT INTO "completions" VALUES(46,X'3FA1BC8EB54F7DD5B115B4B02DB79291',0,64,' Step 1: 8 + 5 = 13. Step 2: 13 * 3 = 39.',NULL,'stop',NULL,40,35,0.0,1.79597462133350038531e+09,'evaluate');
INSERT INTO "completions" VALUES(47,X'096C5A7C20A7FE330E1DA528C5D83365',0,64,' 39.',NULL,'stop',NULL,75,4,0.0,1.79597462158066439623e+09,'evaluate');
INSERT INTO "completions" VALUES(48,X'D1A539C01B521626DB215CF6F512229B',0,64,' 44.',NULL,'stop',NULL,72,4,0.0,1.79597462158066439623e+09,'evaluate');
INSERT INTO "completions" VALUES(49,X'D4192839B8F5EA6E88C7119E27906307',0,64,'?
A: 10',NULL,'stop',NULL,58,7,0.0,1.79597462187652945515e+09,'evaluate');
INSERT INTO "completions" VALUES(50,X'6D8CB96CC63800CDD48A3D7724DEEC74',0,64,'?
A: 12',NULL,'stop',NULL,40,7,0.0,1.79597462187652945515e+09,'evaluate');
INSERT INTO "completions" VALUES(51,X'459005F5D91F150812AC2B7518898035',0,64,'?
A: 32',NULL,'stop',NULL,30,7,0.0,1.79597462207411026949e+09,'evaluate');
INSERT INTO "completions" VALUES(52,X'59C54ACB9D4854586F740D1CA48F6E47',0,64,'?
A:A: 55',NULL,'stop',NULL,28,9,0.0,1.79597462210218095776e+09,'evaluate');
INSERT INTO "completions" VALUES(53,X'50C917A7D2DED4BB48894FE0879DD991',0,64,' does Eva have?
A: Let''s think step by step. Sam has 12. Eva has 12 + 8 = 20. Eva has 20 + 7 = 27.
Therefore, the answer is 27.',NULL,'stop',NULL,40,57,0.0,1.79597462318152356142e+09,'evaluate');
INSERT INTO "completions" VALUES(54,X'4245CD2408396021C9A6E5FD93CC6563',0,64,' does Dan have?
A: Let''s think step by step. We know that Tom has 10. So for Nora it is 10 + 8 = 18. So for Dan it is 18 + 8 = 26. So for Dan it is 26',NULL,'length',NULL,58,64,0.0,1.79597462324399375918e+09,'evaluate');
INSERT INTO "completions" VALUES(55,X'EBC1DC49E8A2E4FEFE9E5A7A51522807',0,64,'?
A: 32',NULL,'stop',NULL,30,7,0.0,1.79597462342982602118e+09,'evaluate');
INSERT INTO "completions" VALUES(56,X'D45D20AED07C8D4D35741AD453AAD8BB',0,64,'?
A:A: 55',NULL,'stop',NULL,28,9,0.0,1.7959746234604284763e+09,'evaluate');
INSERT INTO "completions" VALUES(57,X'66CCE3DFD4FAC1BA5E6DC8A1BB153181',0,64,'?
A: 10',NULL,'stop',NULL,58,7,0.0,1.79597462388959789279e+09,'evaluate');
INSERT INTO "completions" VALUES(58,X'7F585FC6E5844382923DE2A4115DAEC1',0,64,'?
A: 12',NULL,'stop',NULL,40,7,0.0,1.79597462388959789279e+09,'evaluate');
INSERT INTO "completions" VALUES(59,X'532E5931F877C967666FD78E99409D99',0,64,'?
A: 50',NULL,'stop',NULL,28,7,0.0,1.79597462416590070719e+09,'evaluate');
INSERT INTO "completions" VALUES(60,X'10EA2867798196B11FE2B36075A84919',0,64,' cups in 2 in 8 in 2 + 5 = 7. Step 2: 2 * 3 = 6. Step 2: 3 + 5 = 8. Step 3: 3 + 8 = 11.
A: 30 +',NULL,'length',NULL,29,64,0.0,1.79597462513643693921e+09,'evaluate');
INSERT INTO "completions" VALUES(61,X'5EEFF99094D3B1895374993FE9E9042F',0,64,' stamps does Eva have?
A Leo has 12',NULL,'stop',NULL,40,12,0.0,1.79597462595235753059e+09,'evaluate');
INSERT INTO "completions" VALUES(62,X'C43651B90EB4FDA0BF980401212556CB',0,64,' shells. Dan has 10. Dan has 10 shells. Alma has 10 shells.',NULL,'stop',NULL,58,22,0.0,1.79597462601362943654e+09,'evaluate');
INSERT INTO "completions" VALUES(63,X'828AE4E18DC0804079147652C8DC2A3F',0,64,'?
A: 50',NULL,'stop',NULL,28,7,0.0,1.79597462613811898225e+09,'evaluate');
INSERT INTO "completions" VALUES(64,X'FDCC98D4D4A6933B6712146ECB55105B',0,64,' pencil is l 80 cups in In one + 5 = 13 cups. With the * 3 = 39. pencil ends in l.',NULL,'stop',NULL,29,38,0.0,1.79597462628268218038e+09,'evaluate');
INSERT INTO "completions" VALUES(65,X'2733038934393794500FDD1E981FED79',0,64,'?
A: 10',NULL,'stop',NULL,58,7,0.0,1.7959746264041717052e+09,'evaluate');
INSERT INTO "completions" VALUES(66,X'E54F2414386279495AB0D8CDE843D15C',0,64,'?
A: 12',NULL,'stop',NULL,40,7,0.0,1.7959746264041717052e+09,'evaluate');
INSERT INTO "completions" VALUES(67,X'C546572474AB633238DD7AAE54B3E336',0,64,'?
A: 32',NULL,'stop',NULL,30,7,0.0,1.7959746265854651928e+09,'evaluate');
INSERT INTO "completions" VALUES(68,X'E6DA3EF576B257816089F3266D327925',0,64,'?
A:A: 55',NULL,'stop',NULL,28,9,0.0,1.79597462660647249222e+09,'evaluate');
INSERT INTO "completions" VALUES(69,X'803829A06C839A01C557EFF8E28DA80A',0,64,'?
A: 10',NULL,'stop',NULL,58,7,0.0,1.79597462690615081786e+09,'evaluate');
INSERT INTO "completions" VALUES(70,X'064A00EFD5E6441098A22C2AB7451816',0,64,'?
A: 12',NULL,'stop',NULL,40,7,0.0,1.79597462690615081786e+09,'evaluate');
INSERT INTO "completions" VALUES(71,X'C8D05E31798028F967CAA188C366EAC3',0,64,'?
A: 32',NULL,'stop',NULL,30,7,0.0,1.79597462707757163044e+09,'evaluate');
INSERT INTO "completions" VALUES(72,X'29F54B3D75411F3AA647CC5ADCA1867A',0,64,'?
A:A: 55',NULL,'stop',NULL,28,9,0.0,1.79597462709820747373e+09,'evaluate');
INSERT INTO "completions" VALUES(73,X'6A34BDD45350D28418F5B79A6ACD7661',0,64,'?
A: 10',NULL,'stop',NULL,58,7,0.0,1.79597462759817790988e+09,'evaluate');
INSERT INTO "completions" VALUES(74,X'3B8B4E9167491A47556A8F981D11AFC3',0,64,'?
A: 12',NULL,'stop',NULL,40,7,0.0,1.79597462759817790988e+09,'evaluate');
INSERT INTO "completions" VALUES(75,X'712B1AFA4F45078D1B7B1DBFCD2EADC8',0,64,'?
A: 50',NULL,'stop',NULL,28,7,0.0,1.79597462783870100979e+09,'evaluate');
INSERT INTO "completions" VALUES(76,X'F6896047463C6250C45224C341039F06',0,64,' All 2 in 8 * 8 = 64. With the end?
A: 44',NULL,'stop',NULL,29,24,0.0,1.79597462809816908833e+09,'evaluate');
INSERT INTO "completions" VALUES(77,X'4567B6D62E5EB0448DA284D027405C4D',0,64,'?
A: 10',NULL,'stop',NULL,58,7,0.0,1.79597462861237263677e+09,'evaluate');
INSERT INTO "completions" VALUES(78,X'C6B939D61E018FACCC003716C78F23F2',0,64,'?
A: 12',NULL,'stop',NULL,40,7,0.0,1.79597462861237263677e+09,'evaluate');
INSERT INTO "completions" VALUES(79,X'EB40CCAC8FFD9F96A7FAAA279EFC2B7A',0,64,'?
A: 50',NULL,'stop',NULL,28,7,0.0,1.79597462876857709877e+09,'evaluate');
INSERT INTO "completions" VALUES(80,X'24EF2BC17D47287E6D5A2FC8F77E4729',0,64,' All 2 in 8 * 8 = 64. With the end?
A: 44',NULL,'stop',NULL,29,24,0.0,1.795974628904604435e+09,'evaluate');
INSERT INTO "completions" VALUES(81,X'858CAC62D61C1B091A641904C7AC1C76',0,64,' Start with Finn, who has 3 beads. Then Rosa has 3 - 2 = 1 beads. Then Omar has 1 * 3 = 3 beads.',NULL,'stop',NULL,61,42,0.0,1.7959746299296324253e+09,'evaluate');
INSERT INTO "completions" VALUES(82,X'B2EB5105B3FDD7774D4E4C9DBC8EC9C5',0,64,' We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 5 = 19.',NULL,'stop',NULL,49,45,0.0,1.79597462998831057545e+09,'evaluate');
INSERT INTO "completions" VALUES(83,X'CA7B7CCE81C4837454AED0A580FAB228',0,64,' 3.',NULL,'stop',NULL,103,3,0.0,1.79597463021730446817e+09,'evaluate');
INSERT INTO "completions" VALUES(84,X'DF8264B94F873FE1A8BCA38FF3D92133',0,64,' 19.',NULL,'stop',NULL,94,4,0.0,1.79597463023816561692e+09,'evaluate');
INSERT INTO "completions" VALUES(85,X'6E569270AB2FF9061A62405280030265',0,64,' We start with 8 * 4 = 32. Next we get 32 + 9 = 41.',NULL,'stop',NULL,39,33,0.0,1.79597463115021038055e+09,'evaluate');
INSERT INTO "completions" VALUES(86,X'2D796AB9773082427CCF1E41557F2B40',0,64,' After the loss 9 - 2 = 7 apples are left. With the ones found Leo has 7 + 4 = 11.',NULL,'stop',NULL,41,37,0.0,1.79597463120179796219e+09,'evaluate');
INSERT INTO "completions" VALUES(87,X'B3348E2797BC5B2E99AE09E3C3A9C8EF',0,64,' 11.',NULL,'stop',NULL,78,4,0.0,1.79597463141310548784e+09,'evaluate');
INSERT INTO "completions" VALUES(88,X'4D5B6115D1E95218AC432C2384E0A195',0,64,' 41.',NULL,'stop',NULL,72,4,0.0,1.79597463141310548784e+09,'evaluate');
INSERT INTO "completions" VALUES(89,X'D78234ACD994E9BD0A5B91954F2AB096',0,64,' 12',NULL,'stop',NULL,55,3,0.0,1.7959746316421411037e+09,'evaluate');
INSERT INTO "completions" VALUES(90,X'EAAFC6FD20CBBAB225A947899EED6425',0,64,' 12',NULL,'stop',NULL,43,3,0.0,1.7959746316421411037e+09,'evaluate');
INSERT INTO "completions" VALUES(91,X'F917F7FC26FB5CA7B3EAC3979E92F401',0,64,' 12',NULL,'stop',NULL,39,3,0.0,1.79597463174614167214e+09,'evaluate');
INSERT INTO "completions" VALUES(92,X'61ABE3E4356607C7C75B1494F57C2D25',0,64,' 52',NULL,'stop',NULL,33,3,0.0,1.79597463174614167214e+09,'evaluate');
INSERT INTO "completions" VALUES(93,X'027BA9FBB59C6B6FC530FEE114099495',0,64,' We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.',NULL,'stop',NULL,50,45,0.0,1.79597463259414410596e+09,'evaluate');
INSERT INTO "completions" VALUES(94,X'DE5202999F906C9D1E32385183C08593',0,64,' Start with Finn, who has 11 beads. Then Finn has 11 * 3 = 33 beads. Then Finn has 33 - 2 = 31 beads.',NULL,'stop',NULL,62,47,0.0,1.79597463261232948299e+09,'evaluate');
INSERT INTO "completions" VALUES(95,X'F6EAEE27B604E11614860CEA3ED8CA53',0,64,' 31.',NULL,'stop',NULL,109,4,0.0,1.79597463273812675476e+09,'evaluate');
INSERT INTO "completions" VALUES(96,X'FF77AAC916F4179190A5171985D1D27B',0,64,' 21.',NULL,'stop',NULL,95,4,0.0,1.79597463273812675476e+09,'evaluate');
INSERT INTO "completions" VALUES(97,X'4A8ACC4BD7BCB4204B13922F29B636AF',0,64,' We start with 9 - 2 = 7. Next we get 7 + 3 = 10.',NULL,'stop',NULL,46,31,0.0,1.79597463325939631466e+09,'evaluate');
INSERT INTO "completions" VALUES(98,X'EC0BB6C91CC8CEA65A81849D682EA821',0,64,' The boxes hold 8 * 3 = 24 cards. With the loose ones there are 24 + 7 = 31.',NULL,'stop',NULL,40,38,0.0,1.79597463336432528499e+09,'evaluate');
INSERT INTO "completions" VALUES(99,X'F7B88D6089580F4F7AF7E33123CE7952',0,64,' 31.',NULL,'stop',NULL,78,4,0.0,1.79597463346868419648e+09,'evaluate');
INSERT INTO "completions" VALUES(100,X'C81EE6DC2737C99130BF85D440F804AD',0,64,' 10.',NULL,'stop',NULL,77,4,0.0,1.79597463346868419648e+09,'evaluate');
INSERT INTO "completions" VALUES(101,X'2CFF18F28AAC7D2751EB6125DC48C0AA',0,64,'. We know that Sam has 12. So for Omar it is 12 + 7 = 19. So for Mia it is 19 + 7 = 26.
Therefore, the answer is 26.',NULL,'stop',NULL,48,52,0.0,1.79597463416185188292e+09,'evaluate');
INSERT INTO "completions" VALUES(102,X'6987148EE4BD5378F2F9021EB56A75E2',0,64,'. Start with Finn, who has 11 beads. Then Finn has 2 * 3 = 6 beads. Then Finn has 1 * 3 = 3 beads. Then Omar has 3 * 3 = 9 beads.
Therefore, the answer is 9.',NULL,'stop',NULL,60,60,0.0,1.79597463423632931712e+09,'evaluate');
INSERT INTO "completions" VALUES(103,X'26A8D4B32F7E35F7CB4102A89BAB5700',0,64,'. Step 1: 2 - 2 = 2. Step 2: 2 + 2 = 4.
Therefore, the answer is 4.',NULL,'stop',NULL,44,36,0.0,1.7959746349154701233e+09,'evaluate');
INSERT INTO "completions" VALUES(104,X'81BFEF83A876B68AFC2FC62EFC222B4D',0,64,'. The boxes hold 8 * 5 = 40 cards. With the loose ones there are 40 + 7 = 47.
Therefore, the answer is 47.',NULL,'stop',NULL,38,43,0.0,1.7959746349563133717e+09,'evaluate');
INSERT INTO "completions" VALUES(105,X'200658758523713DA7A418D4EE52D7B0',0,64,' 14',NULL,'stop',NULL,55,3,0.0,1.7959746352329037189e+09,'evaluate');
INSERT INTO "completions" VALUES(106,X'88A2DC3CE4FAE267CE7B2FAA55109FEF',0,64,' 12',NULL,'stop',NULL,43,3,0.0,1.7959746352329037189e+09,'evaluate');
INSERT INTO "completions" VALUES(107,X'8A7997B0DFEB1BBBE27F70E2EC96EC58',0,64,' 12',NULL,'stop',NULL,35,3,0.0,1.79597463540215516088e+09,'evaluate');
INSERT INTO "completions" VALUES(108,X'9E2A1158F846707C07FFE6132CEF788C',0,64,' 20',NULL,'stop',NULL,33,3,0.0,1.79597463540215516088e+09,'evaluate');
INSERT INTO "completions" VALUES(109,X'6BD96DE0CE9B25604DE1A94DC9B58D5C',0,64,' by step. Finn has 3. Rosa has 3 - 2 = 1. Omar has 1 * 3 = 3.
Therefore, the answer is 3.',NULL,'stop',NULL,59,39,0.0,1.79597463659381365776e+09,'evaluate');
INSERT INTO "completions" VALUES(110,X'EBF6231F38DD0AA0658814DDC1C8B417',0,64,' by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.
Therefore, the answer is 21.',NULL,'stop',NULL,47,52,0.0,1.79597463677238035201e+09,'evaluate');
INSERT INTO "completions" VALUES(111,X'ABF9EF9DE35B65823D48CC009FD761B3',0,64,' by step. Step 1: 9 - 2 = 7. Step 2: 7 + 4 = 11.
Therefore, the answer is 11.',NULL,'stop',NULL,39,40,0.0,1.79597463766209602354e+09,'evaluate');
INSERT INTO "completions" VALUES(112,X'F4E1F0FC4DB34B2E12229BBBBC971381',0,64,' by step. Step 1: 8 * 4 = 32. Step 2: 32 + 9 = 41.
Therefore, the answer is 41.',NULL,'stop',NULL,37,42,0.0,1.79597463768213963511e+09,'evaluate');
INSERT INTO "completions" VALUES(113,X'A753D3AE8B8D28E26200306AEFD286C7',0,64,'?
A: 14',NULL,'stop',NULL,51,7,0.0,1.79597463792530560497e+09,'evaluate');
INSERT INTO "completions" VALUES(114,X'897F3FFDFD0DECBA045EE1E205C41A63',0,64,'?
A: 18',NULL,'stop',NULL,38,7,0.0,1.79597463792530560497e+09,'evaluate');
INSERT INTO "completions" VALUES(115,X'EA29576A466F499D6DA417A839BE4E5C',0,64,'?
A: 9',NULL,'stop',NULL,35,6,0.0,1.79597463805271196366e+09,'evaluate');
INSERT INTO "completions" VALUES(116,X'E6E1EC58D64A9DD331674A8C48A8142C',0,64,'?
A: 8',NULL,'stop',NULL,28,6,0.0,1.79597463805271196366e+09,'evaluate');
INSERT INTO "completions" VALUES(117,X'0CA4F723778949CF88BD807889E2F600',0,64,'?
A: 18',NULL,'stop',NULL,51,7,0.0,1.79597463827979826923e+09,'evaluate');
INSERT INTO "completions" VALUES(118,X'4EEE62E7538BA2176D767E6E26F6E8B8',0,64,'?
A: 34',NULL,'stop',NULL,38,7,0.0,1.79597463827979826923e+09,'evaluate');
INSERT INTO "completions" VALUES(119,X'37F4FE93C920CF9CBEBD2F407E2AA3C3',0,64,'?
A: 8',NULL,'stop',NULL,35,6,0.0,1.79597463835603880885e+09,'evaluate');
INSERT INTO "completions" VALUES(120,X'7927B66ED228F191EFFD6C6D39197C58',0,64,'?

A: 93',NULL,'stop',NULL,28,8,0.0,1.79597463835603880885e+09,'evaluate');
INSERT INTO "completions" VALUES(121,X'34BC2A2B2E2D0EF9F3FD7D5F825DE3EA',0,64,'. We know that Sam has 12. So for Omar it is 12 + 7 = 19. So for Mia it is 19 + 7 = 26.
Therefore, the answer is 26.',NULL,'stop',NULL,48,52,0.0,1.79597463875225591659e+09,'evaluate');
INSERT INTO "completions" VALUES(122,X'3B5E4EAC152FD6935FCA31DC6ECFE942',0,64,'. Start with Finn, who has 11 beads. Then Finn has 2 * 3 = 6 beads. Then Finn has 1 * 3 = 3 beads. Then Omar has 3 * 3 = 9 beads.
Therefore, the answer is 9.',NULL,'stop',NULL,60,60,0.0,1.79597463877325129507e+09,'evaluate');
INSERT INTO "completions" VALUES(123,X'9B72FA0D36ED402AF6A2E0DB633536AD',0,64,'. Step 1: 2 - 2 = 2. Step 2: 2 + 2 = 4.
Therefore, the answer is 4.',NULL,'stop',NULL,44,36,0.0,1.79597463917970705032e+09,'evaluate');
INSERT INTO "completions" VALUES(124,X'6111A26C5074648A663C1C3CFF8A6B35',0,64,'. The boxes hold 8 * 5 = 40 cards. With the loose ones there are 40 + 8 = 48.
Therefore, the answer is 48.',NULL,'stop',NULL,38,43,0.0,1.79597463924032640456e+09,'evaluate');
INSERT INTO "completions" VALUES(125,X'7C0B75E5F2582C60F6C3AB7C8B8CD5B9',0,64,'?
A: 14',NULL,'stop',NULL,51,7,0.0,1.79597463956728696822e+09,'evaluate');
INSERT INTO "completions" VALUES(126,X'D3D1CCF55748A3D0E2D1C7085864E604',0,64,' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.',NULL,'length',NULL,38,64,0.0,1.79597463981256055829e+09,'evaluate');
INSERT INTO "completions" VALUES(127,X'B5E1ABD2128453E3D8979FEA8283D677',0,64,'?
A: 10',NULL,'stop',NULL,31,7,0.0,1.79597464005328536036e+09,'evaluate');
INSERT INTO "completions" VALUES(128,X'43A692300D2DC8B36BCB69332AF18B0D',0,64,' cards 60 cards 60 cards 80 + 9 = 89 cards. With the answer is 79',NULL,'stop',NULL,28,28,0.0,1.79597464014789652822e+09,'evaluate');
INSERT INTO "completions" VALUES(129,X'A88039D6E251CDF2405C332730604DD3',0,64,'?
A: 19',NULL,'stop',NULL,51,7,0.0,1.79597464045077848428e+09,'evaluate');
INSERT INTO "completions" VALUES(130,X'3488416C7F53607D00ACB95DEB549FAE',0,64,' coins does Mia have?
A: Let''s think step by step. We know that Sam has 5. So for Mia it is 5 + 7 = 12. So for Mia it is 12 * 2 = 24.
Therefore, the answer is 24.',NULL,'length',NULL,38,64,0.0,1.79597464076617670063e+09,'evaluate');
INSERT INTO "completions" VALUES(131,X'0D0F2A5BFC9B2C53E1F0E713ECF0B700',0,64,'?
A: 20',NULL,'stop',NULL,31,7,0.0,1.79597464090616798395e+09,'evaluate');
INSERT INTO "completions" VALUES(132,X'8D0E8F0535BAD7EAFE1F58326AB89422',0,64,' cards 12 cards 8 * 4 = 32.',NULL,'stop',NULL,28,15,0.0,1.79597464101816558842e+09,'evaluate');
INSERT INTO "completions" VALUES(133,X'F8B3FE38C8569B96F8A42A4FC8437648',0,64,' by step. Finn has 3. Rosa has 3 - 2 = 1. Omar has 1 * 3 = 3.
Therefore, the answer is 3.',NULL,'stop',NULL,59,39,0.0,1.79597464176234269134e+09,'evaluate');
INSERT INTO "completions" VALUES(134,X'425558A8A64BB5C382741050BE2B1592',0,64,' by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.
Therefore, the answer is 21.',NULL,'stop',NULL,47,52,0.0,1.7959746418521394729e+09,'evaluate');
INSERT INTO "completions" VALUES(135,X'28CB9151FFA6214439D0F77B15FB1F2C',0,64,' by step. Step 1: 9 - 2 = 7. Step 2: 7 + 4 = 11.
Therefore, the answer is 11.',NULL,'stop',NULL,39,40,0.0,1.79597464234467792511e+09,'evaluate');
INSERT INTO "completions" VALUES(136,X'EF6AFD11F773A858AA99E036590D9FF1',0,64,' by step. Step 1: 8 * 4 = 32. Step 2: 32 + 9 = 41.
Therefore, the answer is 41.',NULL,'stop',NULL,37,42,0.0,1.79597464236912131305e+09,'evaluate');
INSERT INTO "completions" VALUES(137,X'EE65C680FB9CF0663856069A839D9FAA',0,64,'?
A: 14',NULL,'stop',NULL,51,7,0.0,1.79597464274881219868e+09,'evaluate');
INSERT INTO "completions" VALUES(138,X'617C604D541E9B10C5892E80C7052383',0,64,' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.',NULL,'length',NULL,38,64,0.0,1.79597464347633147237e+09,'evaluate');
INSERT INTO "completions" VALUES(139,X'C53F56053F49F80CA7D92FB96893AF30',0,64,'?
A: 10',NULL,'stop',NULL,31,7,0.0,1.79597464357668614386e+09,'evaluate');
INSERT INTO "completions" VALUES(140,X'16871DD906BBF55CEBAE451FE9FB5026',0,64,' cards 60 cards 40 + 8 = 28.',NULL,'stop',NULL,28,16,0.0,1.79597464366669464118e+09,'evaluate');
INSERT INTO "completions" VALUES(141,X'60B66FDD80C6FE8C29B535BE3ED0244E',0,64,'?
A: 14',NULL,'stop',NULL,51,7,0.0,1.79597464388223314281e+09,'evaluate');
INSERT INTO "completions" VALUES(142,X'6A17DD35AA9FB8B7BB44D49F37E72734',0,64,'?
A: 18',NULL,'stop',NULL,38,7,0.0,1.79597464388223314281e+09,'evaluate');
INSERT INTO "completions" VALUES(143,X'05BF44DCDB1C18A0DAD14B860795E69C',0,64,'?
A: 9',NULL,'stop',NULL,35,6,0.0,1.79597464399876403807e+09,'evaluate');
INSERT INTO "completions" VALUES(144,X'C52652E2EC4FE3A205B24E7A4793A7E7',0,64,'?
A: 8',NULL,'stop',NULL,28,6,0.0,1.79597464399876403807e+09,'evaluate');
INSERT INTO "completions" VALUES(145,X'BCE045F6AF00DC0EB5E1E9D468CC924B',0,64,'?
A: 18',NULL,'stop',NULL,51,7,0.0,1.79597464419815731049e+09,'evaluate');
INSERT INTO "completions" VALUES(146,X'41CDAEFD9CC291C0A4989931FA16F00C',0,64,'?
A: 34',NULL,'stop',NULL,38,7,0.0,1.79597464419815731049e+09,'evaluate');
INSERT INTO "completions" VALUES(147,X'922163EF7AF28396C68D90FADCD93720',0,64,'?
A: 8',NULL,'stop',NULL,35,6,0.0,1.79597464428231501582e+09,'evaluate');
INSERT INTO "completions" VALUES(148,X'9C3842DF1ED875080624F15D3E648CA4',0,64,'?

A: 93',NULL,'stop',NULL,28,8,0.0,1.79597464428231501582e+09,'evaluate');
INSERT INTO "completions" VALUES(149,X'3B29693BD2B0FD2602E888D760D44B24',0,64,'. We know that Sam has 12. So for Omar it is 12 + 7 = 19. So for Mia it is 19 + 7 = 26.
Therefore, the answer is 26.',NULL,'stop',NULL,48,52,0.0,1.79597464495155882831e+09,'evaluate');
INSERT INTO "completions" VALUES(150,X'421E70B547D57E74290B52F2E3556CD7',0,64,'. Start with Finn, who has 11 beads. Then Finn has 2 * 3 = 6 beads. Then Finn has 1 * 3 = 3 beads. Then Omar has 3 * 3 = 9 beads.
Therefore, the answer is 9.',NULL,'stop',NULL,60,60,0.0,1.79597464501636385914e+09,'evaluate');
INSERT INTO "completions" VALUES(151,X'DF29985ACA51D04FFB676A0428857F70',0,64,'. Step 1: 2 - 2 = 2. Step 2: 2 + 2 = 4.
Therefore, the answer is 4.',NULL,'stop',NULL,44,36,0.0,1.79597464545230960843e+09,'evaluate');
INSERT INTO "completions" VALUES(152,X'F10208ED75E0F38CF36B1DB0279F07A3',0,64,'. The boxes hold 8 * 5 = 40 cards. With the loose ones there are 40 + 8 = 48.
Therefore, the answer is 48.',NULL,'stop',NULL,38,43,0.0,1.79597464549263453482e+09,'evaluate');
INSERT INTO "completions" VALUES(153,X'7EDF8C221C254993681E728FEE15F2B4',0,64,'?
A: 14',NULL,'stop',NULL,51,7,0.0,1.79597464569895172124e+09,'evaluate');
INSERT INTO "completions" VALUES(154,X'6C7A6BD5918D1B2D77F92621B52D223A',0,64,' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.',NULL,'length',NULL,38,64,0.0,1795974645.9483,'evaluate');
INSERT INTO "completions" VALUES(155,X'D2E32AD76C533D1EE44E68400F758CC7',0,64,'?
A: 10',NULL,'stop',NULL,31,7,0.0,1.79597464605322623253e+09,'evaluate');
INSERT INTO "completions" VALUES(156,X'793EECA55F5B76D33871962A3F340FFF',0,64,'?
A: 40',NULL,'stop',NULL,28,7,0.0,1.79597464605322623253e+09,'evaluate');
INSERT INTO "completions" VALUES(157,X'AE8FCDE36DDC39A8F2F8FAA29BBB114A',0,64,'?
A: 19',NULL,'stop',NULL,51,7,0.0,1.79597464634641623497e+09,'evaluate');
INSERT INTO "completions" VALUES(158,X'22B370098A9C03B76DAE3AFCCFC3768F',0,64,' coins does Mia have?
A: Let''s think step by step. We know that Sam has 5. So for Mia it is 5 + 7 = 12. So for Mia it is 12 * 2 = 24.
Therefore, the answer is 24.',NULL,'length',NULL,38,64,0.0,1.79597464678737521164e+09,'evaluate');
INSERT INTO "completions" VALUES(159,X'3EE4C478D5E36D0CC7AE69860DB019B9',0,64,'?
A: 20',NULL,'stop',NULL,31,7,0.0,1.79597464698750638959e+09,'evaluate');
INSERT INTO "completions" VALUES(160,X'3F37439B4B983C6B5EFEEAAF1EAF937C',0,64,'?
A: 58',NULL,'stop',NULL,28,7,0.0,1.79597464698750638959e+09,'evaluate');
INSERT INTO "completions" VALUES(161,X'6013081C75CCCA502C3DA512F01A16B9',0,64,' by step. Finn has 3. Rosa has 3 - 2 = 1. Omar has 1 * 3 = 3.
Therefore, the answer is 3.',NULL,'stop',NULL,59,39,0.0,1.79597464783810186386e+09,'evaluate');
INSERT INTO "completions" VALUES(162,X'78B7CDF0A356016F7CF693D56962B1FC',0,64,' by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.
Therefore, the answer is 21.',NULL,'stop',NULL,47,52,0.0,1.79597464797923612599e+09,'evaluate');
INSERT INTO "completions" VALUES(163,X'B0730AC62C444F0F2A799EE2A954D1E5',0,64,' by step. Step 1: 9 - 2 = 7. Step 2: 7 + 4 = 11.
Therefore, the answer is 11.',NULL,'stop',NULL,39,40,0.0,1.79597464868212604522e+09,'evaluate');
INSERT INTO "completions" VALUES(164,X'26DA1621E852AC6233AD5062C2AA3883',0,64,' by step. Step 1: 8 * 4 = 32. Step 2: 32 + 9 = 41.
Therefore, the answer is 41.',NULL,'stop',NULL,37,42,0.0,1.79597464870359659191e+09,'evaluate');
INSERT INTO "completions" VALUES(165,X'B3BFBD35F8CFDDC4C77891F674BEC53A',0,64,' We know that Dan has 10',NULL,'stop',NULL,68,10,0.0,1.79597464918296360969e+09,'guide');
INSERT INTO "completions" VALUES(166,X'C9D459B29F3E989CC79BAE5219564111',0,64,' Start with Cara, who has 9 stamps',NULL,'stop',NULL,50,11,0.0,1.79597464919746518138e+09,'guide');
INSERT INTO "completions" VALUES(167,X'BD94FBF5A1050E5BE0FC349C227217A2',0,64,'',NULL,'stop',NULL,67,0,0.0,1.79597464929818797108e+09,'guide');
INSERT INTO "completions" VALUES(168,X'5E14B92061FA0FD68357544CA560CB12',0,64,' Then Eva has 12 stamps. Leo has 12 stamps. Eva has 12 stamps. Cara has 12 stamps. Leo has 12 stamps. Leo has 12 stamps. Cara has 12 stamps.',NULL,'stop',NULL,50,50,0.0,1.7959746499741430282e+09,'guide');
INSERT INTO "completions" VALUES(169,X'24AFD1FDFD06794B75DB35790EF4A911',0,64,'?',NULL,'stop',NULL,58,2,0.0,1.79597465008437609675e+09,'guide');
INSERT INTO "completions" VALUES(170,X'AE8077D9B9989CEFEB1F3DE89DD4AD24',0,64,'?',NULL,'stop',NULL,40,2,0.0,1.79597465008437609675e+09,'guide');
INSERT INTO "completions" VALUES(171,X'E3C21B3C3540AB733CCE4478FC594D10',0,64,'?',NULL,'stop',NULL,58,2,0.0,1.79597465019769620894e+09,'guide');
INSERT INTO "completions" VALUES(172,X'E3C21B3C3540AB733CCE4478FC594D10',1,64,'?',NULL,'stop',NULL,58,2,0.0,1.79597465019769620894e+09,'guide');
INSERT INTO "completions" VALUES(173,X'75DCF86F49DD42C93C265283DD97D38A',0,64,'?',NULL,'stop',NULL,40,2,0.0,1.79597465019769620894e+09,'guide');
INSERT INTO "completions" VALUES(174,X'75DCF86F49DD42C93C265283DD97D38A',1,64,'?',NULL,'stop',NULL,40,2,0.0,1.79597465019769620894e+09,'guide');
INSERT INTO "completions" VALUES(175,X'6D26FE248DC0359E38397FBDD25DC536',0,64,'?',NULL,'stop',NULL,51,2,0.0,1.79597465033412170406e+09,'guide');
INSERT INTO "completions" VALUES(176,X'517EDF252B736192C8BDBF6DD9CC2B51',0,64,' coins does Mia have?',NULL,'stop',NULL,38,6,0.0,1.79597465039079165461e+09,'guide');
INSERT INTO "completions" VALUES(177,X'AEE114B94C2ABBEE2888BCB7C73E019F',0,64,' We know that Sam has 7',NULL,'stop',NULL,49,9,0.0,1.79597465064835715292e+09,'guide');
INSERT INTO "completions" VALUES(178,X'8DCA8C22407992D2124A136D9A35E349',0,64,' Start with Finn, who has 3 beads',NULL,'stop',NULL,61,11,0.0,1.79597465067217659947e+09,'guide');
INSERT INTO "completions" VALUES(179,X'EE8BC44B0BB37B60EB90C41036E3C034',0,64,'?',NULL,'stop',NULL,51,2,0.0,1.79597465076118016245e+09,'guide');
INSERT INTO "completions" VALUES(180,X'EE8BC44B0BB37B60EB90C41036E3C034',1,64,'?',NULL,'stop',NULL,51,2,0.0,1.79597465076118016245e+09,'guide');
INSERT INTO "completions" VALUES(181,X'32BB5538B53A16B6A7F55B5DC4186368',0,64,' coins does Mia have?',NULL,'stop',NULL,38,6,0.0,1.79597465083643603321e+09,'guide');
INSERT INTO "completions" VALUES(182,X'32BB5538B53A16B6A7F55B5DC4186368',1,64,' coins does Ben have?',NULL,'stop',NULL,38,6,0.0,1.79597465083643603321e+09,'guide');
INSERT INTO "completions" VALUES(183,X'825CBE4085DAC3D8B9F686A36A4420BF',0,64,' Mia has 6 * 2 = 12.',NULL,'stop',NULL,46,12,0.0,1.79597465087154746056e+09,'guide');
INSERT INTO "completions" VALUES(184,X'433CFC22C2067EA0CD96289196000291',0,64,' Then Finn has 3 - 2 = 1 beads. Omar has 1 * 3 = 3 beads.
A 3 - 2 = 1 beads. Omar has 3 - 2 = 1 beads. Omar has 3 - 2 = 1.',NULL,'stop',NULL,61,60,0.0,1.79597465110839271543e+09,'guide');
INSERT INTO "completions" VALUES(185,X'25924F1A2B62DA75E2C9BFF738ACFDF2',0,64,'',NULL,'stop',NULL,54,1,0.0,1.79597465121466207506e+09,'guide');
INSERT INTO "completions" VALUES(186,X'CD67011E97143BB53B5DFE36AE1B8800',0,64,' Then Rosa has 3 - 2 = 1 beads',NULL,'stop',NULL,71,14,0.0,1.79597465144525456426e+09,'guide');
INSERT INTO "completions" VALUES(187,X'FC4182E3048C5F38E96891F937059821',0,64,' So for Omar it is 7 * 2 = 14',NULL,'stop',NULL,57,16,0.0,1.79597465146842026713e+09,'guide');
INSERT INTO "completions" VALUES(188,X'BC90137DC717E56D0205DADDA6460D78',0,64,' So for Mia it is 6 + 7 = 13.
A 71 + 7 = 78. So for Mia it is 78 - 5 = 73.',NULL,'stop',NULL,61,44,0.0,1.79597465229033899304e+09,'guide');
INSERT INTO "completions" VALUES(189,X'735BA32D7D8DDBCDD23993EB4208767C',0,64,' Omar has 1 * 3 = 3 beads.
A 3 - 2 = 1 beads. Omar has 3 - 2 = 1 beads. Omar has 1 + 3 = 4.',NULL,'stop',NULL,74,47,0.0,1.79597465232287740706e+09,'guide');
INSERT INTO "completions" VALUES(190,X'DFA791D1ACCD54E34BD9AACF4E06A06C',0,64,'Therefore, the answer is 7.',NULL,'stop',NULL,55,8,0.0,1.79597465246781849866e+09,'guide');
INSERT INTO "completions" VALUES(191,X'205F932A4BFCC75581F52AE43F5FAD96',0,64,' 6. Alma has 5 * 2 = 10.',NULL,'stop',NULL,53,15,0.0,1.79597465258258390426e+09,'guide');
INSERT INTO "completions" VALUES(192,X'5F57F02C7D30612FCB7427E85AEBA9F7',0,64,'
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.',NULL,'stop',NULL,43,59,0.0,1.79597465308093023296e+09,'guide');
INSERT INTO "completions" VALUES(193,X'D906198C08A6A4180B5E361D58394FDF',1,64,' We know that Sam has 7. So for Omar it is 7 * 2 = 14.',NULL,'stop',NULL,49,29,0.0,1.7959746535583634376e+09,'guide');
INSERT INTO "completions" VALUES(194,X'D906198C08A6A4180B5E361D58394FDF',0,64,' Sam has 7. Omar has 7 + 6 = 13. Mia has 13 + 6 = 19.',NULL,'stop',NULL,49,36,0.0,1.79597465365632867812e+09,'guide');
INSERT INTO "completions" VALUES(195,X'325000084D146340A77F7A956D56CA89',0,64,' Start with Finn, who has 3 beads. Then Dan has 3 - 2 = 1 beads. Then Omar has 1 * 3 = 3 beads.',NULL,'stop',NULL,61,42,0.0,1.79597465371239042278e+09,'guide');
INSERT INTO "completions" VALUES(196,X'325000084D146340A77F7A956D56CA89',1,64,' Start with Finn, who has 3 beads. Then Rosa has 3 - 2 = 1 beads. Then Omar has 1 * 3 = 3 beads.',NULL,'stop',NULL,61,42,0.0,1.79597465371239042278e+09,'guide');
INSERT INTO "completions" VALUES(197,X'691B5BD5CB9990BC04DC0ABA16AA9444',0,64,' 3.',NULL,'stop',NULL,103,3,0.0,1.7959746538582932949e+09,'guide');
INSERT INTO "completions" VALUES(198,X'83B96A279520C05AF8518D41B0D19EF8',0,64,' 14.',NULL,'stop',NULL,78,4,0.0,1.79597465388469076158e+09,'guide');
INSERT INTO "completions" VALUES(199,X'EE34FFF804A6BF1A9CEBDD62AC917BD6',0,64,' 19.',NULL,'stop',NULL,85,4,0.0,1.79597465388469076158e+09,'guide');
INSERT INTO "completions" VALUES(200,X'AC7415ABE000181FD545F4107FB2B854',0,64,'',NULL,'stop',NULL,59,0,0.0,1.79597465399021577838e+09,'guide');
INSERT INTO "completions" VALUES(201,X'A7FC012E4AC4B264A79BCBAC185ED172',0,64,' Then Sam has 6 eggs. Then Mia has 5 * 2 = 10 beads. Then Mia has 6 + 6 = 12 beads. Mia has 3 + 6 = 9 beads. Mia has 9 * 2 = 18 beads.',NULL,'stop',NULL,48,60,0.0,1.7959746548586506844e+09,'guide');
INSERT INTO "completions" VALUES(202,X'BCC1ECB316A82EB46511B21B88936C70',0,64,' Finn has 11. Rosa has 2 * 3 = 6. Omar has 11 - 2 = 9.',NULL,'stop',NULL,58,29,0.0,1.79597465560376811028e+09,'guide');
INSERT INTO "completions" VALUES(203,X'2027318D52080CE478C25302A2B326B7',0,64,' Sam has 6. Mia has 6 * 2 = 12. Mia has 12 + 6 = 18. Mia has 78 - 6 = 72. Mia has 72 + 6 = 78.',NULL,'stop',NULL,45,56,0.0,1.79597465597407388686e+09,'guide');
INSERT INTO "completions" VALUES(204,X'7967BCE8493D14190FC5F0185DC56209',0,64,' Omar has 6 * 2 = 12.',NULL,'stop',NULL,54,13,0.0,1.7959746561231229305e+09,'guide');
INSERT INTO "completions" VALUES(205,X'16912D9E99D884D921568A36DC3C9F8F',0,64,' Rosa has 11 - 2 = 9. Omar has 1 * 3 = 3.',NULL,'stop',NULL,66,24,0.0,1.79597465617422485354e+09,'guide');
INSERT INTO "completions" VALUES(206,X'50358EEB4920A99902FE4F7C02424DDF',0,64,'
A: Let',NULL,'stop',NULL,75,4,0.0,1.79597465630583786959e+09,'guide');
INSERT INTO "completions" VALUES(207,X'706227901159F987530FF3C95EEBEAA6',0,64,'
A: 60',NULL,'stop',NULL,51,6,0.0,1.79597465631870317455e+09,'guide');
INSERT INTO "completions" VALUES(208,X'AE8FCDE36DDC39A8F2F8FAA29BBB114A',1,64,'?
A: 14',NULL,'stop',NULL,51,7,0.0,1.79597465653346681597e+09,'guide');
INSERT INTO "completions" VALUES(209,X'22B370098A9C03B76DAE3AFCCFC3768F',1,64,' coins does Ben have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.',NULL,'length',NULL,38,64,0.0,1.79597465678158545489e+09,'guide');
CREATE TABLE guided_predictions (
        policy TEXT NOT NULL, task TEXT NOT NULL, split TEXT NOT NULL, question_id TEXT NOT NULL,
        text TEXT NOT NULL, guidance TEXT NOT NULL, answer TEXT, correct INTEGER NOT NULL,
        leaked INTEGER NOT NULL, student_tokens INTEGER NOT NULL, teacher_tokens INTEGER NOT NULL,
        cost REAL NOT NULL, steps INTEGER, grader TEXT NOT NULL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (policy, task, split, question_id)
    );
INSERT INTO "guided_predictions" VALUES('never','fact_chain','dev','fact_chain-e866723ac74c','?
A: 10','','10',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('never','fact_chain','dev','fact_chain-8bf89e7c6d33','?
A: 12','','12',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('first','fact_chain','dev','fact_chain-e866723ac74c','We know that Dan has 10.','We know that Dan has 10.','10',0,0,0,10,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('first','fact_chain','dev','fact_chain-8bf89e7c6d33','Start with Cara, who has 9 stamps. Then Eva has 12 stamps. Leo has 12 stamps. Eva has 12 stamps. Cara has 12 stamps. Leo has 12 stamps. Leo has 12 stamps. Cara has 12 stamps.','Start with Cara, who has 9 stamps.','12',0,0,50,11,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_min_logprob','fact_chain','dev','fact_chain-e866723ac74c','?
A: 10','','10',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_min_logprob','fact_chain','dev','fact_chain-8bf89e7c6d33','?
A: 12','','12',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_entropy','fact_chain','dev','fact_chain-e866723ac74c','?
A: 10','','10',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_entropy','fact_chain','dev','fact_chain-8bf89e7c6d33','?
A: 12','','12',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('learned','fact_chain','dev','fact_chain-e866723ac74c','?
A: 10','','10',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('learned','fact_chain','dev','fact_chain-8bf89e7c6d33','?
A: 12','','12',0,0,7,0,0.0,NULL,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('never','fact_chain','test','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','','17',0,0,64,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('never','fact_chain','test','fact_chain-6cea08bdb211','?
A: 14','','14',0,0,7,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('first','fact_chain','test','fact_chain-c1d0fa9644b0','We know that Sam has 7. Mia has 6 * 2 = 12.','We know that Sam has 7.','12',0,0,12,9,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('first','fact_chain','test','fact_chain-6cea08bdb211','Start with Finn, who has 3 beads. Then Finn has 3 - 2 = 1 beads. Omar has 1 * 3 = 3 beads.
A 3 - 2 = 1 beads. Omar has 3 - 2 = 1 beads. Omar has 3 - 2 = 1.','Start with Finn, who has 3 beads.','1',0,1,60,11,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('at_2','fact_chain','test','fact_chain-c1d0fa9644b0','coins does Mia have? Therefore, the answer is 7. 6. Alma has 5 * 2 = 10.','Therefore, the answer is 7.','7',0,0,79,9,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('at_2','fact_chain','test','fact_chain-6cea08bdb211','?
A: 14','','14',0,0,7,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('first_n_2','fact_chain','test','fact_chain-c1d0fa9644b0','We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 6 + 7 = 13.
A 71 + 7 = 78. So for Mia it is 78 - 5 = 73.','We know that Sam has 7.
So for Omar it is 7 * 2 = 14.','73',0,0,44,25,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('first_n_2','fact_chain','test','fact_chain-6cea08bdb211','Start with Finn, who has 3 beads. Then Rosa has 3 - 2 = 1 beads. Omar has 1 * 3 = 3 beads.
A 3 - 2 = 1 beads. Omar has 3 - 2 = 1 beads. Omar has 1 + 3 = 4.','Start with Finn, who has 3 beads.
Then Rosa has 3 - 2 = 1 beads.','4',0,1,47,25,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_min_logprob','fact_chain','test','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','','17',0,0,82,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_min_logprob','fact_chain','test','fact_chain-6cea08bdb211','?
A: 14','','14',0,0,13,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_entropy','fact_chain','test','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','','17',0,0,82,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('when_unsure_entropy','fact_chain','test','fact_chain-6cea08bdb211','?
A: 14','','14',0,0,13,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('learned','fact_chain','test','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','','17',0,0,82,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('learned','fact_chain','test','fact_chain-6cea08bdb211','?
A: 14','','14',0,0,13,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_own_first','fact_chain','test','fact_chain-c1d0fa9644b0','coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','','17',0,0,59,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_own_first','fact_chain','test','fact_chain-6cea08bdb211','?
A: 14','','14',0,0,7,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_wrong_chain','fact_chain','test','fact_chain-c1d0fa9644b0','We know that Sam has 7. Mia has 6 * 2 = 12.','We know that Sam has 7.','12',0,0,12,9,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_other_problem','fact_chain','test','fact_chain-c1d0fa9644b0','Start with Finn, who has 3 beads. Then Sam has 6 eggs. Then Mia has 5 * 2 = 10 beads. Then Mia has 6 + 6 = 12 beads. Mia has 3 + 6 = 9 beads. Mia has 9 * 2 = 18 beads.','Start with Finn, who has 3 beads.','18',0,0,60,11,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_other_problem','fact_chain','test','fact_chain-6cea08bdb211','We know that Sam has 7.','We know that Sam has 7.','7',0,0,0,9,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_hint','fact_chain','test','fact_chain-c1d0fa9644b0','Use 7. Sam has 6. Mia has 6 * 2 = 12. Mia has 12 + 6 = 18. Mia has 78 - 6 = 72. Mia has 72 + 6 = 78.','Use 7.','78',0,0,56,9,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_hint','fact_chain','test','fact_chain-6cea08bdb211','Use 3. Finn has 11. Rosa has 2 * 3 = 6. Omar has 11 - 2 = 9.','Use 3.','9',0,1,29,11,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_question','fact_chain','test','fact_chain-c1d0fa9644b0','Omar has 6 * 2 = 12.?
A: 60','Omar has 6 * 2 = 12.?','60',0,0,6,13,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('control_question','fact_chain','test','fact_chain-6cea08bdb211','Rosa has 11 - 2 = 9. Omar has 1 * 3 = 3.?
A: Let','Rosa has 11 - 2 = 9. Omar has 1 * 3 = 3.?','3',1,1,4,24,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('zero_shot','fact_chain','test','fact_chain-c1d0fa9644b0',' 12','','12',0,0,3,0,0.0,3,'2','60ae8e8ac526');
INSERT INTO "guided_predictions" VALUES('zero_shot','fact_chain','test','fact_chain-6cea08bdb211',' 14','','14',0,0,3,0,0.0,3,'2','60ae8e8ac526');
CREATE TABLE guided_scores (
        policy TEXT NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL, split TEXT NOT NULL,
        accuracy REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, total INTEGER NOT NULL,
        guided INTEGER NOT NULL, teacher_tokens REAL NOT NULL, student_tokens REAL NOT NULL,
        cost REAL NOT NULL, leaked INTEGER NOT NULL, unleaked_accuracy REAL, difference REAL,
        difference_low REAL, difference_high REAL, p_value REAL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (policy, task, split)
    );
INSERT INTO "guided_scores" VALUES('never','alone','fact_chain','dev',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,7.0,0.0,0,0.0,NULL,NULL,NULL,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('first','policy','fact_chain','dev',0.0,0.0,6.57619772493346910202e-01,2,2,10.5,25.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('when_unsure_min_logprob','policy','fact_chain','dev',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,7.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('when_unsure_entropy','policy','fact_chain','dev',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,7.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('learned','policy','fact_chain','dev',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,7.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('never','alone','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,35.5,0.0,0,0.0,NULL,NULL,NULL,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('teacher','alone','fact_chain','test',1.0,3.42380227506653034286e-01,1.0,2,2,47.0,0.0,0.0,0,1.0,1.0,1.0,1.0,0.5,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('first','policy','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,2,10.0,36.0,0.0,1,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('at_2','policy','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,1,4.5,43.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('first_n_2','policy','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,2,25.0,45.5,0.0,1,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('when_unsure_min_logprob','policy','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,47.5,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('when_unsure_entropy','policy','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,47.5,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('learned','policy','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,47.5,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('control_own_first','control','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,33.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('control_wrong_chain','control','fact_chain','test',0.0,0.0,7.9345068562276255264e-01,1,1,9.0,12.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('control_other_problem','control','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,2,10.0,30.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('control_hint','control','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,2,10.0,42.5,0.0,1,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('control_question','control','fact_chain','test',0.5,9.45312057342307388019e-02,9.05468794265769316709e-01,2,2,18.5,5.0,0.0,1,0.0,0.5,0.0,1.0,1.0,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_random_0.25','routing','fact_chain','test',0.25,0.25,0.25,2,0,11.75,26.625,0.0,0,0.25,0.25,0.25,0.25,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_random_0.5','routing','fact_chain','test',0.5,0.5,0.5,2,1,23.5,17.75,0.0,0,0.5,0.5,0.5,0.5,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_random_0.75','routing','fact_chain','test',0.75,0.75,0.75,2,2,35.25,8.875,0.0,0,0.75,0.75,0.75,0.75,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_mean_logprob_0.25','routing','fact_chain','test',0.25,0.0,0.5,2,0,12.25,19.5,0.0,0,0.25,0.25,0.0,0.5,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_mean_logprob_0.5','routing','fact_chain','test',0.5,0.0,1.0,2,1,24.5,3.5,0.0,0,0.5,0.5,0.0,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_mean_logprob_0.75','routing','fact_chain','test',0.75,0.5,1.0,2,2,35.75,1.75,0.0,0,0.75,0.75,0.5,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_min_logprob_0.25','routing','fact_chain','test',0.25,0.0,0.5,2,0,12.25,19.5,0.0,0,0.25,0.25,0.0,0.5,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_min_logprob_0.5','routing','fact_chain','test',0.5,0.0,1.0,2,1,24.5,3.5,0.0,0,0.5,0.5,0.0,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_min_logprob_0.75','routing','fact_chain','test',0.75,0.5,1.0,2,2,35.75,1.75,0.0,0,0.75,0.75,0.5,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_entropy_0.25','routing','fact_chain','test',0.25,0.0,0.5,2,0,12.25,19.5,0.0,0,0.25,0.25,0.0,0.5,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_entropy_0.5','routing','fact_chain','test',0.5,0.0,1.0,2,1,24.5,3.5,0.0,0,0.5,0.5,0.0,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_entropy_0.75','routing','fact_chain','test',0.75,0.5,1.0,2,2,35.75,1.75,0.0,0,0.75,0.75,0.5,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_disagreement_0.25','routing','fact_chain','test',0.25,0.0,0.5,2,0,12.25,19.5,0.0,0,0.25,0.25,0.0,0.5,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_disagreement_0.5','routing','fact_chain','test',0.5,0.0,1.0,2,1,24.5,3.5,0.0,0,0.5,0.5,0.0,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_disagreement_0.75','routing','fact_chain','test',0.75,0.5,1.0,2,2,35.75,1.75,0.0,0,0.75,0.75,0.5,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_prompt_tokens_0.25','routing','fact_chain','test',0.25,0.0,0.5,2,0,11.25,33.75,0.0,0,0.25,0.25,0.0,0.5,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_prompt_tokens_0.5','routing','fact_chain','test',0.5,0.0,1.0,2,1,22.5,32.0,0.0,0,0.5,0.5,0.0,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('routing_prompt_tokens_0.75','routing','fact_chain','test',0.75,0.5,1.0,2,2,34.75,16.0,0.0,0,0.75,0.75,0.5,1.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('pass_at_1','sampled','fact_chain','test',0.0,0.0,0.0,2,0,0.0,35.5,0.0,0,0.0,0.0,0.0,0.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('pass_at_2','sampled','fact_chain','test',0.0,0.0,0.0,2,0,0.0,71.0,0.0,0,0.0,0.0,0.0,0.0,NULL,'60ae8e8ac526');
INSERT INTO "guided_scores" VALUES('zero_shot','self','fact_chain','test',0.0,0.0,6.57619772493346910202e-01,2,0,0.0,3.0,0.0,0,0.0,0.0,0.0,0.0,1.0,'60ae8e8ac526');
CREATE TABLE likelihoods (
        completion_id INTEGER NOT NULL REFERENCES completions (id) ON DELETE CASCADE,
        student TEXT NOT NULL, mean_logprob REAL NOT NULL, tokens INTEGER NOT NULL,
        settings_hash TEXT NOT NULL, PRIMARY KEY (completion_id, settings_hash)
    ) WITHOUT ROWID;
CREATE TABLE logprobs (
        completion_id INTEGER PRIMARY KEY REFERENCES completions (id) ON DELETE CASCADE,
        tokens INTEGER NOT NULL, top INTEGER NOT NULL, logprobs BLOB NOT NULL, ids BLOB,
        token_bytes BLOB, lengths BLOB, collisions INTEGER NOT NULL, missing_mass REAL NOT NULL
    );
INSERT INTO "logprobs" VALUES(169,1,5,X'CCC710BDCCC710BD346D81C044BA8FC06086DEC0E80DE1C0',X'2000000020000000070200006E0200007701000001020000',NULL,NULL,0,4.17114344301361406053e-03);
INSERT INTO "logprobs" VALUES(170,1,5,X'8E7C88BC8E7C88BC1F878AC04779F5C095CC03C196B406C1',X'2000000020000000FD0100001400000012000000F9010000',NULL,NULL,0,2.39083096868264455281e-03);
INSERT INTO "logprobs" VALUES(175,1,5,X'B42FC7BBB42FC7BB39E9D3C083AEE2C09004E5C046ADEFC0',X'2000000020000000F20100004C010000AC01000056010000',NULL,NULL,0,2.55295640463382156326e-03);
INSERT INTO "logprobs" VALUES(176,5,5,X'83DC7CBE83DC7CBED013D3BFF0D6A8C099C3B8C074B3C7C0E9DFDBBDE9DFDBBD9BD914C065BAC2C0AEECF8C0B0180CC1C34ABEBEC34ABEBEE47116C024FD56C0B86061C00C696EC0947E1DBD947E1DBDE66453C0CC7519C143781EC1398A20C17857C8BC7857C8BCCB8573C03BEFEEC0ED9B00C1AF3B07C1',X'8301000083010000200000000A020000010200004B010000270100002701000067010000720100000F000000CA010000C8010000C8010000BB010000C2010000C0010000C301000077010000770100000E01000060010000D40100000C02000020000000200000006E020000470100006F0200000F000000',NULL,NULL,0,2.91822284032687180588e-02);
CREATE TABLE predictions (
        system TEXT NOT NULL, task TEXT NOT NULL, question_id TEXT NOT NULL, text TEXT NOT NULL,
        answer TEXT, correct INTEGER NOT NULL, finish_reason TEXT NOT NULL,
        completion_tokens INTEGER NOT NULL, settings_hash TEXT NOT NULL, grader TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (system, task, question_id)
    );
INSERT INTO "predictions" VALUES('teacher','fact_chain','fact_chain-c1d0fa9644b0',' We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 5 = 19.
Therefore, the answer is 19.','19',1,'stop',49,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('teacher','fact_chain','fact_chain-6cea08bdb211',' Start with Finn, who has 3 beads. Then Rosa has 3 - 2 = 1 beads. Then Omar has 1 * 3 = 3 beads.
Therefore, the answer is 3.','3',1,'stop',45,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('teacher','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' We start with 8 * 4 = 32. Next we get 32 + 9 = 41.
Therefore, the answer is 41.','41',1,'stop',37,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('teacher','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' After the loss 9 - 2 = 7 apples are left. With the ones found Leo has 7 + 4 = 11.
Therefore, the answer is 11.','11',1,'stop',41,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot','fact_chain','fact_chain-c1d0fa9644b0',' 12','12',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot','fact_chain','fact_chain-6cea08bdb211',' 12','12',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' 52','52',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' 12','12',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start','fact_chain','fact_chain-c1d0fa9644b0',' We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.
Therefore, the answer is 21.','21',0,'stop',49,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start','fact_chain','fact_chain-6cea08bdb211',' Start with Finn, who has 11 beads. Then Finn has 11 * 3 = 33 beads. Then Finn has 33 - 2 = 31 beads.
Therefore, the answer is 31.','31',0,'stop',51,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' The boxes hold 8 * 3 = 24 cards. With the loose ones there are 24 + 7 = 31.
Therefore, the answer is 31.','31',0,'stop',42,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' We start with 9 - 2 = 7. Next we get 7 + 3 = 10.
Therefore, the answer is 10.','10',0,'stop',35,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot_cot','fact_chain','fact_chain-c1d0fa9644b0','. We know that Sam has 12. So for Omar it is 12 + 7 = 19. So for Mia it is 19 + 7 = 26.
Therefore, the answer is 26.','26',0,'stop',52,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot_cot','fact_chain','fact_chain-6cea08bdb211','. Start with Finn, who has 11 beads. Then Finn has 2 * 3 = 6 beads. Then Finn has 1 * 3 = 3 beads. Then Omar has 3 * 3 = 9 beads.
Therefore, the answer is 9.','9',0,'stop',60,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','. The boxes hold 8 * 5 = 40 cards. With the loose ones there are 40 + 7 = 47.
Therefore, the answer is 47.','47',0,'stop',43,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','. Step 1: 2 - 2 = 2. Step 2: 2 + 2 = 4.
Therefore, the answer is 4.','4',0,'stop',36,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot','fact_chain','fact_chain-c1d0fa9644b0',' 12','12',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot','fact_chain','fact_chain-6cea08bdb211',' 14','14',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' 20','20',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' 12','12',0,'stop',3,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one','fact_chain','fact_chain-c1d0fa9644b0',' We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 5 = 19.
Therefore, the answer is 19.','19',1,'stop',49,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one','fact_chain','fact_chain-6cea08bdb211',' Start with Finn, who has 3 beads. Then Rosa has 3 - 2 = 1 beads. Then Omar has 1 * 3 = 3 beads.
Therefore, the answer is 3.','3',1,'stop',45,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' We start with 8 * 4 = 32. Next we get 32 + 9 = 41.
Therefore, the answer is 41.','41',1,'stop',37,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' After the loss 9 - 2 = 7 apples are left. With the ones found Leo has 7 + 4 = 11.
Therefore, the answer is 11.','11',1,'stop',41,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot_cot','fact_chain','fact_chain-c1d0fa9644b0',' by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.
Therefore, the answer is 21.','21',0,'stop',52,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot_cot','fact_chain','fact_chain-6cea08bdb211',' by step. Finn has 3. Rosa has 3 - 2 = 1. Omar has 1 * 3 = 3.
Therefore, the answer is 3.','3',1,'stop',39,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' by step. Step 1: 8 * 4 = 32. Step 2: 32 + 9 = 41.
Therefore, the answer is 41.','41',1,'stop',42,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('start_big_one_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' by step. Step 1: 9 - 2 = 7. Step 2: 7 + 4 = 11.
Therefore, the answer is 11.','11',1,'stop',40,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same','fact_chain','fact_chain-c1d0fa9644b0','?
A: 18','18',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same','fact_chain','fact_chain-6cea08bdb211','?
A: 14','14',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','?
A: 8','8',0,'stop',6,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 9','9',0,'stop',6,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_vote','fact_chain','fact_chain-c1d0fa9644b0','?
A: 34','34',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_vote','fact_chain','fact_chain-6cea08bdb211','?
A: 18','18',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_vote','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','?

A: 93','93',0,'stop',8,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_vote','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 8','8',0,'stop',6,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_zero_shot_cot','fact_chain','fact_chain-c1d0fa9644b0','. We know that Sam has 12. So for Omar it is 12 + 7 = 19. So for Mia it is 19 + 7 = 26.
Therefore, the answer is 26.','26',0,'stop',52,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_zero_shot_cot','fact_chain','fact_chain-6cea08bdb211','. Start with Finn, who has 11 beads. Then Finn has 2 * 3 = 6 beads. Then Finn has 1 * 3 = 3 beads. Then Omar has 3 * 3 = 9 beads.
Therefore, the answer is 9.','9',0,'stop',60,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','. The boxes hold 8 * 5 = 40 cards. With the loose ones there are 40 + 8 = 48.
Therefore, the answer is 48.','48',0,'stop',43,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_same_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','. Step 1: 2 - 2 = 2. Step 2: 2 + 2 = 4.
Therefore, the answer is 4.','4',0,'stop',36,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one','fact_chain','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','17',0,'length',64,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one','fact_chain','fact_chain-6cea08bdb211','?
A: 14','14',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' cards 60 cards 60 cards 80 + 9 = 89 cards. With the answer is 79','79',0,'stop',28,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 10','10',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_vote','fact_chain','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 5. So for Mia it is 5 + 7 = 12. So for Mia it is 12 * 2 = 24.
Therefore, the answer is 24.','24',0,'length',64,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_vote','fact_chain','fact_chain-6cea08bdb211','?
A: 19','19',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_vote','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' cards 12 cards 8 * 4 = 32.','32',0,'stop',15,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_vote','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 20','20',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_zero_shot_cot','fact_chain','fact_chain-c1d0fa9644b0',' by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.
Therefore, the answer is 21.','21',0,'stop',52,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_zero_shot_cot','fact_chain','fact_chain-6cea08bdb211',' by step. Finn has 3. Rosa has 3 - 2 = 1. Omar has 1 * 3 = 3.
Therefore, the answer is 3.','3',1,'stop',39,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' by step. Step 1: 8 * 4 = 32. Step 2: 32 + 9 = 41.
Therefore, the answer is 41.','41',1,'stop',42,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' by step. Step 1: 9 - 2 = 7. Step 2: 7 + 4 = 11.
Therefore, the answer is 11.','11',1,'stop',40,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one@4','fact_chain','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','17',0,'length',64,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one@4','fact_chain','fact_chain-6cea08bdb211','?
A: 14','14',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one@4','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' cards 60 cards 40 + 8 = 28.','28',0,'stop',16,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('answers_big_one@4','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 10','10',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same','fact_chain','fact_chain-c1d0fa9644b0','?
A: 18','18',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same','fact_chain','fact_chain-6cea08bdb211','?
A: 14','14',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','?
A: 8','8',0,'stop',6,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 9','9',0,'stop',6,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_vote','fact_chain','fact_chain-c1d0fa9644b0','?
A: 34','34',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_vote','fact_chain','fact_chain-6cea08bdb211','?
A: 18','18',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_vote','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','?

A: 93','93',0,'stop',8,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_vote','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 8','8',0,'stop',6,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_zero_shot_cot','fact_chain','fact_chain-c1d0fa9644b0','. We know that Sam has 12. So for Omar it is 12 + 7 = 19. So for Mia it is 19 + 7 = 26.
Therefore, the answer is 26.','26',0,'stop',52,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_zero_shot_cot','fact_chain','fact_chain-6cea08bdb211','. Start with Finn, who has 11 beads. Then Finn has 2 * 3 = 6 beads. Then Finn has 1 * 3 = 3 beads. Then Omar has 3 * 3 = 9 beads.
Therefore, the answer is 9.','9',0,'stop',60,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','. The boxes hold 8 * 5 = 40 cards. With the loose ones there are 40 + 8 = 48.
Therefore, the answer is 48.','48',0,'stop',43,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_same_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','. Step 1: 2 - 2 = 2. Step 2: 2 + 2 = 4.
Therefore, the answer is 4.','4',0,'stop',36,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one','fact_chain','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 6. So for Mia it is 6 * 2 = 12. So for Mia it is 12 + 5 = 17.
Therefore, the answer is 17.','17',0,'length',64,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one','fact_chain','fact_chain-6cea08bdb211','?
A: 14','14',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','?
A: 40','40',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 10','10',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_vote','fact_chain','fact_chain-c1d0fa9644b0',' coins does Mia have?
A: Let''s think step by step. We know that Sam has 5. So for Mia it is 5 + 7 = 12. So for Mia it is 12 * 2 = 24.
Therefore, the answer is 24.','24',0,'length',64,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_vote','fact_chain','fact_chain-6cea08bdb211','?
A: 19','19',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_vote','two_step_arithmetic','two_step_arithmetic-1dba46a9d785','?
A: 58','58',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_vote','two_step_arithmetic','two_step_arithmetic-0e372402ca0c','?
A: 20','20',0,'stop',7,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_zero_shot_cot','fact_chain','fact_chain-c1d0fa9644b0',' by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.
Therefore, the answer is 21.','21',0,'stop',52,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_zero_shot_cot','fact_chain','fact_chain-6cea08bdb211',' by step. Finn has 3. Rosa has 3 - 2 = 1. Omar has 1 * 3 = 3.
Therefore, the answer is 3.','3',1,'stop',39,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-1dba46a9d785',' by step. Step 1: 8 * 4 = 32. Step 2: 32 + 9 = 41.
Therefore, the answer is 41.','41',1,'stop',42,'aee1ec619fe1','2');
INSERT INTO "predictions" VALUES('rationales_all_big_one_zero_shot_cot','two_step_arithmetic','two_step_arithmetic-0e372402ca0c',' by step. Step 1: 9 - 2 = 7. Step 2: 7 + 4 = 11.
Therefore, the answer is 11.','11',1,'stop',40,'aee1ec619fe1','2');
CREATE TABLE rationales (
        question_id TEXT NOT NULL, completion_id INTEGER NOT NULL REFERENCES completions (id),
        text TEXT NOT NULL, answer TEXT, verdict TEXT NOT NULL,
        grader TEXT NOT NULL, settings_hash TEXT NOT NULL, sample INTEGER NOT NULL DEFAULT 0, teacher TEXT NOT NULL DEFAULT 'teacher', PRIMARY KEY (question_id, completion_id)
    );
INSERT INTO "rationales" VALUES('fact_chain-db7453d9edce',15,'We know that Hugo has 6. So for Ann it is 6 - 2 = 4. So for Pia it is 4 - 2 = 2. So for Leo it is 2 + 2 = 4.','4','wrong_answer','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-db7453d9edce',16,'We know that Hugo has 3. So for Leo it is 3 - 2 = 1. So for Eva it is 1 * 2 = 2. So for Leo it is 2 + 2 = 4.','4','wrong_answer','2','50d59a037fc6',1,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-5d6dee5611a1',13,'Start with Ben, who has 8 eggs. Then Cara has 8 * 3 = 24 eggs. Then Iris has 24 - 3 = 21 eggs.','21','wrong_answer','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-5d6dee5611a1',14,'Start with Ben, who has 10 eggs. Then Iris has 10 * 3 = 30 eggs. Then Iris has 30 - 8 = 22 eggs.','22','wrong_answer','2','50d59a037fc6',1,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-34d674b0bda9',9,'We know that Sam has 8. So for Dan it is 8 - 2 = 6. So for Ben it is 6 - 4 = 2.','2','wrong_answer','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-34d674b0bda9',6,'Sam has 8. Dan has 8 - 2 = 6. Ben has 6 - 2 = 4.','4','wrong_answer','2','50d59a037fc6',1,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-6121686ab493',11,'Start with Cara, who has 3 balls. Then Ben has 3 + 8 = 11 balls. Then Kate has 11 * 2 = 22 balls.','22','kept','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-6121686ab493',12,'Start with Carl, who has 3 balls. Then Ben has 3 + 8 = 11 balls. Then Kate has 11 + 8 = 19 balls.','19','wrong_answer','2','50d59a037fc6',1,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-270c5e4e282a',5,'Start with Sam, who has 11 cards. Then Cara has 11 + 4 = 15 cards.','15','wrong_answer','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-270c5e4e282a',3,'Sam has 7. Cara has 7 + 4 = 11.','11','wrong_answer','2','50d59a037fc6',1,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-bef692eb8204',1,'Leo has 4. Leo has 4 - 2 = 2.','2','wrong_answer','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-bef692eb8204',10,'Start with Leo, who has 4 books. Then Leo has 4 + 2 = 6 books. Then Eva has 6 - 2 = 4 books.','4','kept','2','50d59a037fc6',1,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-18869e7bda6a',7,'Ben has 5. Nora has 5 + 9 = 14. Gina has 14 - 8 = 6.','6','wrong_answer','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-18869e7bda6a',8,'We know that Ben has 9. So for Nora it is 9 - 5 = 4. So for Gina it is 4 + 2 = 6.','6','wrong_answer','2','50d59a037fc6',1,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-5358b4bacb0d',4,'We know that Pia has 4. So for Gina it is 4 * 2 = 8.','8','kept','2','50d59a037fc6',0,'teacher');
INSERT INTO "rationales" VALUES('fact_chain-5358b4bacb0d',2,'Pia has 4. Gina has 4 * 2 = 8.','8','kept','2','50d59a037fc6',1,'teacher');
CREATE TABLE requests (
        key BLOB PRIMARY KEY, model TEXT NOT NULL, body TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "requests" VALUES(X'027BA9FBB59C6B6FC530FEE114099495','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'02CA5C2C49017CD19586AE0C91FF77FE','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Nora has 2 fewer toys than Pia. Zoe has twice as many toys as Hugo. Ann has 2 fewer toys than Zoe. Hugo has 3 toys. Leo has 6 more toys than Ann. Pia has 10 toys. How many toys does Leo have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'03573DDA121C514AB0725778237A480C','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Sam has 8 books. Eva has 2 more books than Leo. Leo has 2 fewer books than Pia. Pia has 4 books. How many books does Eva have?\nA: Let''s think step by step. Leo has 4. Leo has 4 - 2 = 2.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'05AB70FB13F21907AC263BD90C3E4025','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has 8 more balls than Carl. Kate has twice as many balls as Ben. Carl has 4 balls. Cara has 3 balls. Ben has 8 more balls than Cara. How many balls does Kate have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'05BF44DCDB1C18A0DAD14B860795E69C','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'064A00EFD5E6441098A22C2AB7451816','hf:checkpoint-000004@1a7fbeb75530','{"answer_prefix":"","model":"hf:checkpoint-000004@1a7fbeb75530","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'09210076D62461F37B55BCD6496E61E5','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days?\nA: Let''s think step by step. Step 1: 8 + 5 = 13. Step 2: 13 * 5 = 65.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'096C5A7C20A7FE330E1DA528C5D83365','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days?\nA: Let''s think step by step. Step 1: 8 + 5 = 13. Step 2: 13 * 3 = 39.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'0CA4F723778949CF88BD807889E2F600','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'0D0F2A5BFC9B2C53E1F0E713ECF0B700','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'10EA2867798196B11FE2B36075A84919','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'15D9906339D39D5B9096040CBFEB378D','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Cara has 7 more cards than Sam. Pia has 4 cards. Sam has 11 cards. How many cards does Cara have?\nA: Let''s think step by step. Start with Sam, who has 11 cards. Then Cara has 11 + 4 = 15 cards.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'16871DD906BBF55CEBAE451FE9FB5026','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'16912D9E99D884D921568A36DC3C9F8F','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s first ask where to begin.","seed":null,"stop":["\nTherefore, the answer is","\nQ:","?","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'200658758523713DA7A418D4EE52D7B0','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'2027318D52080CE478C25302A2B326B7','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Use 7.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'205F932A4BFCC75581F52AE43F5FAD96','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" coins does Mia have? Therefore, the answer is 7.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'22B370098A9C03B76DAE3AFCCFC3768F','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'24AFD1FDFD06794B75DB35790EF4A911','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":5,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'24EF2BC17D47287E6D5A2FC8F77E4729','hf:checkpoint-000004@fea4c49c6c03','{"answer_prefix":"","model":"hf:checkpoint-000004@fea4c49c6c03","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'25924F1A2B62DA75E2C9BFF738ACFDF2','bundled:teacher@84b047025718','{"answer_prefix":" coins does Mia have?","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'26A8D4B32F7E35F7CB4102A89BAB5700','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'26DA1621E852AC6233AD5062C2AA3883','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'2733038934393794500FDD1E981FED79','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'28CB9151FFA6214439D0F77B15FB1F2C','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'29F54B3D75411F3AA647CC5ADCA1867A','hf:checkpoint-000004@1a7fbeb75530','{"answer_prefix":"","model":"hf:checkpoint-000004@1a7fbeb75530","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'2B1B8D678F2CEBAC28D2E4841FA9E927','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Sam has 8 books. Eva has 2 more books than Leo. Leo has 2 fewer books than Pia. Pia has 4 books. How many books does Eva have?\nA: Let''s think step by step. Start with Leo, who has 4 books. Then Leo has 4 + 2 = 6 books. Then Eva has 6 - 2 = 4 books.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'2CFF18F28AAC7D2751EB6125DC48C0AA','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'2D796AB9773082427CCF1E41557F2B40','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'2EAEC0BCBF19BEF7C2434135A1EDEE1A','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have?\nA: Let''s think step by step. Start with Cara, who has 9 stamps. Then Eva has 9 + 8 = 17 stamps. Then Leo has 17 + 9 = 26 stamps.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'325000084D146340A77F7A956D56CA89','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'32BB5538B53A16B6A7F55B5DC4186368','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":0,"stop":[". ","? ","! ","\n"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3488416C7F53607D00ACB95DEB549FAE','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'34BC2A2B2E2D0EF9F3FD7D5F825DE3EA','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'37F4FE93C920CF9CBEBD2F407E2AA3C3','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3A276BDC8C47975611AC52D598B36230','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has 8 more balls than Carl. Kate has twice as many balls as Ben. Carl has 4 balls. Cara has 3 balls. Ben has 8 more balls than Cara. How many balls does Kate have?\nA: Let''s think step by step. Start with Cara, who has 3 balls. Then Ben has 3 + 8 = 11 balls. Then Kate has 11 * 2 = 22 balls.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3B29693BD2B0FD2602E888D760D44B24','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3B5E4EAC152FD6935FCA31DC6ECFE942','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3B8B4E9167491A47556A8F981D11AFC3','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3EE4C478D5E36D0CC7AE69860DB019B9','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3F37439B4B983C6B5EFEEAAF1EAF937C','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'3FA1BC8EB54F7DD5B115B4B02DB79291','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'40524EFD633A9342D39516AAA9FA21DB','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Ben has 5 cards. Rosa has 9 cards. Nora has 2 more cards than Ben. Gina has 4 fewer cards than Nora. How many cards does Gina have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'41CDAEFD9CC291C0A4989931FA16F00C','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'421E70B547D57E74290B52F2E3556CD7','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'4245CD2408396021C9A6E5FD93CC6563','hf:checkpoint-000004@cafd4e8a2af6','{"answer_prefix":"","model":"hf:checkpoint-000004@cafd4e8a2af6","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'425558A8A64BB5C382741050BE2B1592','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'433CFC22C2067EA0CD96289196000291','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Start with Finn, who has 3 beads.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'43A692300D2DC8B36BCB69332AF18B0D','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'4567B6D62E5EB0448DA284D027405C4D','hf:checkpoint-000004@fea4c49c6c03','{"answer_prefix":"","model":"hf:checkpoint-000004@fea4c49c6c03","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'459005F5D91F150812AC2B7518898035','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'4A8ACC4BD7BCB4204B13922F29B636AF','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'4D5B6115D1E95218AC432C2384E0A195','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nA: Let''s think step by step. We start with 8 * 4 = 32. Next we get 32 + 9 = 41.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'4DBCDA75A27EC7B0A0E74CB5D0785A50','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'4EE01022255EAFEFA5A429F6922B5268','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Ben has 5 cards. Rosa has 9 cards. Nora has 2 more cards than Ben. Gina has 4 fewer cards than Nora. How many cards does Gina have?\nA: Let''s think step by step. We know that Ben has 9. So for Nora it is 9 - 5 = 4. So for Gina it is 4 + 2 = 6.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'4EEE62E7538BA2176D767E6E26F6E8B8','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'50358EEB4920A99902FE4F7C02424DDF','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Rosa has 11 - 2 = 9. Omar has 1 * 3 = 3.?","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'50C917A7D2DED4BB48894FE0879DD991','hf:checkpoint-000004@cafd4e8a2af6','{"answer_prefix":"","model":"hf:checkpoint-000004@cafd4e8a2af6","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'517EDF252B736192C8BDBF6DD9CC2B51','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":5,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'532E5931F877C967666FD78E99409D99','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'57F51BBE4058619CBC17D17AD7BA82A4','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all?\nA: Let''s think step by step. The boxes hold 5 * 7 = 35 balls. With the loose ones there are 35 + 7 = 42.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'59C54ACB9D4854586F740D1CA48F6E47','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'5D039DD1250BC5BFD7BC37E2C15C9595','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'5E14B92061FA0FD68357544CA560CB12','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Start with Cara, who has 9 stamps.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'5EEFF99094D3B1895374993FE9E9042F','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'5F57F02C7D30612FCB7427E85AEBA9F7','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" coins does Mia have?","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6013081C75CCCA502C3DA512F01A16B9','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'60B66FDD80C6FE8C29B535BE3ED0244E','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6111A26C5074648A663C1C3CFF8A6B35','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'617C604D541E9B10C5892E80C7052383','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'61ABE3E4356607C7C75B1494F57C2D25','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6630C7D1437E615FD38A1F3378B3B7CD','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Ben has 5 cards. Rosa has 9 cards. Nora has 2 more cards than Ben. Gina has 4 fewer cards than Nora. How many cards does Gina have?\nA: Let''s think step by step. Ben has 5. Nora has 5 + 9 = 14. Gina has 14 - 8 = 6.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'66CCE3DFD4FAC1BA5E6DC8A1BB153181','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'691B5BD5CB9990BC04DC0ABA16AA9444','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step. Start with Finn, who has 3 beads. Then Dan has 3 - 2 = 1 beads. Then Omar has 1 * 3 = 3 beads.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6987148EE4BD5378F2F9021EB56A75E2','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6A17DD35AA9FB8B7BB44D49F37E72734','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6A34BDD45350D28418F5B79A6ACD7661','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6BD96DE0CE9B25604DE1A94DC9B58D5C','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6BDB8CC96B73F46A873934E23679064C','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6C7A6BD5918D1B2D77F92621B52D223A','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6D26FE248DC0359E38397FBDD25DC536','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":5,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6D8CB96CC63800CDD48A3D7724DEEC74','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'6E569270AB2FF9061A62405280030265','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'706227901159F987530FF3C95EEBEAA6','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Omar has 6 * 2 = 12.?","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'712B1AFA4F45078D1B7B1DBFCD2EADC8','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'735BA32D7D8DDBCDD23993EB4208767C','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Start with Finn, who has 3 beads. Then Rosa has 3 - 2 = 1 beads.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'75DCF86F49DD42C93C265283DD97D38A','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":0,"stop":[". ","? ","! ","\n"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'77C27F0422EF9BB352810803D5460C15','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'784BE21113199EA581A52F705632FA46','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'78B7CDF0A356016F7CF693D56962B1FC','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'7927B66ED228F191EFFD6C6D39197C58','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'793EECA55F5B76D33871962A3F340FFF','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'7967BCE8493D14190FC5F0185DC56209','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s first ask where to begin.","seed":null,"stop":["\nTherefore, the answer is","\nQ:","?","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'7B968A2C12DEC7CCA6308007751FC3FA','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Iris has 8 fewer eggs than Cara. Cara has 3 times as many eggs as Ben. Mia has 10 eggs. Ben has 6 eggs. How many eggs does Iris have?\nA: Let''s think step by step. Start with Ben, who has 10 eggs. Then Iris has 10 * 3 = 30 eggs. Then Iris has 30 - 8 = 22 eggs.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'7C0B75E5F2582C60F6C3AB7C8B8CD5B9','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'7EDF8C221C254993681E728FEE15F2B4','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'7F585FC6E5844382923DE2A4115DAEC1','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'803829A06C839A01C557EFF8E28DA80A','hf:checkpoint-000004@1a7fbeb75530','{"answer_prefix":"","model":"hf:checkpoint-000004@1a7fbeb75530","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'80CF7EA15A77CF942EEA2491C8F89834','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Pia has 4 pens. Hugo has 4 pens. Gina has twice as many pens as Pia. How many pens does Gina have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'81BFEF83A876B68AFC2FC62EFC222B4D','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'825CBE4085DAC3D8B9F686A36A4420BF','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" We know that Sam has 7.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'828AE4E18DC0804079147652C8DC2A3F','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'82C9CD5CA9F9ABF00957E3B2AC04D1DF','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Sam has 8 toys. Ben has 3 fewer toys than Dan. Dora has 5 toys. Dan has 2 fewer toys than Sam. How many toys does Ben have?\nA: Let''s think step by step. We know that Sam has 8. So for Dan it is 8 - 2 = 6. So for Ben it is 6 - 4 = 2.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'83B96A279520C05AF8518D41B0D19EF8','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'858CAC62D61C1B091A641904C7AC1C76','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'88A2DC3CE4FAE267CE7B2FAA55109FEF','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'897F3FFDFD0DECBA045EE1E205C41A63','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'8A7997B0DFEB1BBBE27F70E2EC96EC58','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'8D0E8F0535BAD7EAFE1F58326AB89422','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'8D469E401F8304896C35CC44723480CA','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Sam has 8 toys. Ben has 3 fewer toys than Dan. Dora has 5 toys. Dan has 2 fewer toys than Sam. How many toys does Ben have?\nA: Let''s think step by step. Sam has 8. Dan has 8 - 2 = 6. Ben has 6 - 2 = 4.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'8DCA8C22407992D2124A136D9A35E349','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'9100FFA5E69AF66F2FC05C35A5D66AC2','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Iris has 8 fewer eggs than Cara. Cara has 3 times as many eggs as Ben. Mia has 10 eggs. Ben has 6 eggs. How many eggs does Iris have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'922163EF7AF28396C68D90FADCD93720','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'97DFEBC002201CBFB96D7FE5925369F7','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Pia has 4 pens. Hugo has 4 pens. Gina has twice as many pens as Pia. How many pens does Gina have?\nA: Let''s think step by step. We know that Pia has 4. So for Gina it is 4 * 2 = 8.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'9B72FA0D36ED402AF6A2E0DB633536AD','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'9C3842DF1ED875080624F15D3E648CA4','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'9D3DE51ABFFE412120466FB20450805F','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Cara has 7 more cards than Sam. Pia has 4 cards. Sam has 11 cards. How many cards does Cara have?\nA: Let''s think step by step. Sam has 7. Cara has 7 + 4 = 11.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'9E2A1158F846707C07FFE6132CEF788C','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'A23D560BE24B11736FB6C40B46C55C5C','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Cara has 7 more cards than Sam. Pia has 4 cards. Sam has 11 cards. How many cards does Cara have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'A753D3AE8B8D28E26200306AEFD286C7','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'A7FC012E4AC4B264A79BCBAC185ED172','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Start with Finn, who has 3 beads.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'A851173F0B7C8D68AE8C88E0AE9A85B1','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'A88039D6E251CDF2405C332730604DD3','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'ABF9EF9DE35B65823D48CC009FD761B3','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'AC7415ABE000181FD545F4107FB2B854','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" We know that Sam has 7.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'AE8077D9B9989CEFEB1F3DE89DD4AD24','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":5,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'AE8FCDE36DDC39A8F2F8FAA29BBB114A','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'AE986A354F920FEB12009D791CEB30BE','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Sam has 8 toys. Ben has 3 fewer toys than Dan. Dora has 5 toys. Dan has 2 fewer toys than Sam. How many toys does Ben have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'AEE114B94C2ABBEE2888BCB7C73E019F','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'B0730AC62C444F0F2A799EE2A954D1E5','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'B2EB5105B3FDD7774D4E4C9DBC8EC9C5','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'B3348E2797BC5B2E99AE09E3C3A9C8EF','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nA: Let''s think step by step. After the loss 9 - 2 = 7 apples are left. With the ones found Leo has 7 + 4 = 11.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'B3BFBD35F8CFDDC4C77891F674BEC53A','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'B5E1ABD2128453E3D8979FEA8283D677','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'BC90137DC717E56D0205DADDA6460D78','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" We know that Sam has 7. So for Omar it is 7 * 2 = 14.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'BCC1ECB316A82EB46511B21B88936C70','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" Use 3.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'BCE045F6AF00DC0EB5E1E9D468CC924B','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":0,"stop":[],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'BD94FBF5A1050E5BE0FC349C227217A2','hf:checkpoint-000002@906f62a08699','{"answer_prefix":" We know that Dan has 10.","model":"hf:checkpoint-000002@906f62a08699","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C28497121E7368ED4FD86B4B554041D4','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Sam has 8 books. Eva has 2 more books than Leo. Leo has 2 fewer books than Pia. Pia has 4 books. How many books does Eva have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C40838CD98E6B1DBFFBBCD287B35BAD7','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Pia has 4 pens. Hugo has 4 pens. Gina has twice as many pens as Pia. How many pens does Gina have?\nA: Let''s think step by step. Pia has 4. Gina has 4 * 2 = 8.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C43651B90EB4FDA0BF980401212556CB','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C52652E2EC4FE3A205B24E7A4793A7E7','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C53F56053F49F80CA7D92FB96893AF30','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C546572474AB633238DD7AAE54B3E336','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C6B939D61E018FACCC003716C78F23F2','hf:checkpoint-000004@fea4c49c6c03','{"answer_prefix":"","model":"hf:checkpoint-000004@fea4c49c6c03","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C81EE6DC2737C99130BF85D440F804AD','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nA: Let''s think step by step. We start with 9 - 2 = 7. Next we get 7 + 3 = 10.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C8D05E31798028F967CAA188C366EAC3','hf:checkpoint-000004@1a7fbeb75530','{"answer_prefix":"","model":"hf:checkpoint-000004@1a7fbeb75530","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'C9D459B29F3E989CC79BAE5219564111','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'CA7B7CCE81C4837454AED0A580FAB228','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step. Start with Finn, who has 3 beads. Then Rosa has 3 - 2 = 1 beads. Then Omar has 1 * 3 = 3 beads.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'CD67011E97143BB53B5DFE36AE1B8800','bundled:teacher@84b047025718','{"answer_prefix":" Start with Finn, who has 3 beads.","model":"bundled:teacher@84b047025718","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'CEFD67A2F8EEBED71620D5EE09E71787','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Nora has 2 fewer toys than Pia. Zoe has twice as many toys as Hugo. Ann has 2 fewer toys than Zoe. Hugo has 3 toys. Leo has 6 more toys than Ann. Pia has 10 toys. How many toys does Leo have?\nA: Let''s think step by step. We know that Hugo has 3. So for Leo it is 3 - 2 = 1. So for Eva it is 1 * 2 = 2. So for Leo it is 2 + 2 = 4.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D1A539C01B521626DB215CF6F512229B','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all?\nA: Let''s think step by step. We start with 5 * 7 = 35. Next we get 35 + 9 = 44.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D2E32AD76C533D1EE44E68400F758CC7','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D38C766396D6A128DC2B0796E682A159','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have?\nA: Let''s think step by step. We know that Tom has 10. So for Emil it is 10 + 2 = 12. So for Emil it is 12 + 2 = 14. So for Alma it is 14 + 2 = 16.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D3D1CCF55748A3D0E2D1C7085864E604','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D4192839B8F5EA6E88C7119E27906307','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D45D20AED07C8D4D35741AD453AAD8BB','hf:checkpoint-000004@cafd4e8a2af6','{"answer_prefix":"","model":"hf:checkpoint-000004@cafd4e8a2af6","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D78234ACD994E9BD0A5B91954F2AB096','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'D906198C08A6A4180B5E361D58394FDF','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step.","seed":0,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'DE5202999F906C9D1E32385183C08593','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'DF29985ACA51D04FFB676A0428857F70','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'DF8264B94F873FE1A8BCA38FF3D92133','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 5 = 19.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'DFA791D1ACCD54E34BD9AACF4E06A06C','bundled:teacher@84b047025718','{"answer_prefix":" coins does Mia have?\n","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'E34394172F68B9ECEB95D8138BFA3E26','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Nora has 2 fewer toys than Pia. Zoe has twice as many toys as Hugo. Ann has 2 fewer toys than Zoe. Hugo has 3 toys. Leo has 6 more toys than Ann. Pia has 10 toys. How many toys does Leo have?\nA: Let''s think step by step. We know that Hugo has 6. So for Ann it is 6 - 2 = 4. So for Pia it is 4 - 2 = 2. So for Leo it is 2 + 2 = 4.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'E3C21B3C3540AB733CCE4478FC594D10','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have? ###","seed":0,"stop":[". ","? ","! ","\n"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'E545BB01C0F8FD5EE2FE9307A04BE667','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has 8 more balls than Carl. Kate has twice as many balls as Ben. Carl has 4 balls. Cara has 3 balls. Ben has 8 more balls than Cara. How many balls does Kate have?\nA: Let''s think step by step. Start with Carl, who has 3 balls. Then Ben has 3 + 8 = 11 balls. Then Kate has 11 + 8 = 19 balls.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'E54F2414386279495AB0D8CDE843D15C','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'E6DA3EF576B257816089F3266D327925','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'E6E1EC58D64A9DD331674A8C48A8142C','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EA29576A466F499D6DA417A839BE4E5C','hf:checkpoint-000002@69bfe65d0433','{"answer_prefix":"","model":"hf:checkpoint-000002@69bfe65d0433","prompt":"Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EAAFC6FD20CBBAB225A947899EED6425','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EB40CCAC8FFD9F96A7FAAA279EFC2B7A','hf:checkpoint-000004@fea4c49c6c03','{"answer_prefix":"","model":"hf:checkpoint-000004@fea4c49c6c03","prompt":"Zoe has 5 boxes with 7 balls in each box, and 9 loose balls. How many balls are there in all? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EBC1DC49E8A2E4FEFE9E5A7A51522807','hf:checkpoint-000004@cafd4e8a2af6','{"answer_prefix":"","model":"hf:checkpoint-000004@cafd4e8a2af6","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EBF6231F38DD0AA0658814DDC1C8B417','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EC0BB6C91CC8CEA65A81849D682EA821','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EDF26D79E35BEA8D7BE06D31E6480491','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Iris has 8 fewer eggs than Cara. Cara has 3 times as many eggs as Ben. Mia has 10 eggs. Ben has 6 eggs. How many eggs does Iris have?\nA: Let''s think step by step. Start with Ben, who has 8 eggs. Then Cara has 8 * 3 = 24 eggs. Then Iris has 24 - 3 = 21 eggs.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EE03858BE5FD41B69AE13E3E461E0A51','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EE34FFF804A6BF1A9CEBDD62AC917BD6','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step. Sam has 7. Omar has 7 + 6 = 13. Mia has 13 + 6 = 19.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EE65C680FB9CF0663856069A839D9FAA','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EE8BC44B0BB37B60EB90C41036E3C034','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have? ###","seed":0,"stop":[". ","? ","! ","\n"],"temperature":0.7,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EF166609CBAC238B191BC7852F9F6A3F','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Emil has 2 more shells than Dan. Tom has 8 shells. Dora has 6 more shells than Tom. Alma has 9 fewer shells than Nora. Nora has 6 more shells than Emil. Dan has 10 shells. How many shells does Alma have?\nA: Let''s think step by step. We know that Dan has 10. So for Nora it is 10 + 2 = 12. So for Alma it is 12 + 6 = 18. So for Alma it is 18 - 6 = 12.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'EF6AFD11F773A858AA99E036590D9FF1','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F10208ED75E0F38CF36B1DB0279F07A3','hf:checkpoint-000002@a9c602e372a6','{"answer_prefix":"","model":"hf:checkpoint-000002@a9c602e372a6","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F21457BA672A5959670A322463021B86','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Leo has 3 more stamps than Eva. Sam has 12 stamps. Cara has 9 stamps. Eva has 8 more stamps than Cara. How many stamps does Leo have?\nA: Let''s think step by step. Start with Cara, who has 12 stamps. Then Eva has 12 + 7 = 19 stamps. Then Leo has 19 + 7 = 26 stamps.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F4E1F0FC4DB34B2E12229BBBBC971381','bundled:teacher@84b047025718','{"answer_prefix":"","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F6896047463C6250C45224C341039F06','hf:checkpoint-000002@906f62a08699','{"answer_prefix":"","model":"hf:checkpoint-000002@906f62a08699","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F6EAEE27B604E11614860CEA3ED8CA53','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nA: Let''s think step by step. Start with Finn, who has 11 beads. Then Finn has 11 * 3 = 33 beads. Then Finn has 33 - 2 = 31 beads.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F7B88D6089580F4F7AF7E33123CE7952','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many cards are there in all?\nA: Let''s think step by step. The boxes hold 8 * 3 = 24 cards. With the loose ones there are 24 + 7 = 31.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F8B3FE38C8569B96F8A42A4FC8437648','hf:checkpoint-000002@d151c0a2168a','{"answer_prefix":"","model":"hf:checkpoint-000002@d151c0a2168a","prompt":"Q: Hugo has 11 beads. Rosa has 2 fewer beads than Finn. Finn has 3 beads. Omar has 3 times as many beads as Rosa. Dan has 2 fewer beads than Hugo. How many beads does Omar have?\nLet''s think step by step","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'F917F7FC26FB5CA7B3EAC3979E92F401','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Leo had 9 apples and lost 2 of them. Later Leo found 4 apples. How many apples does Leo have in the end?\n\nA:","seed":null,"stop":["\nQ:"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'FC4182E3048C5F38E96891F937059821','bundled:teacher@84b047025718','{"answer_prefix":" We know that Sam has 7.","model":"bundled:teacher@84b047025718","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step.","seed":null,"stop":["\nTherefore, the answer is","\nQ:",". ","? ","! ","\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'FDCC98D4D4A6933B6712146ECB55105B','hf:checkpoint-000004@fc715c8ad949','{"answer_prefix":"","model":"hf:checkpoint-000004@fc715c8ad949","prompt":"Every day Ben makes 8 cups in the morning and 5 in the evening. How many cups does Ben make in 3 days? ###","seed":null,"stop":[],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
INSERT INTO "requests" VALUES(X'FF77AAC916F4179190A5171985D1D27B','bundled:student@9fb02ec03a1a','{"answer_prefix":"","model":"bundled:student@9fb02ec03a1a","prompt":"Q: Omar has twice as many coins as Sam. Sam has 7 coins. Cara has 6 coins. Mia has 5 more coins than Omar. How many coins does Mia have?\nA: Let''s think step by step. We know that Sam has 7. So for Omar it is 7 * 2 = 14. So for Mia it is 14 + 7 = 21.\nTherefore, the answer is","seed":null,"stop":["\n"],"temperature":0.0,"top_logprobs":0,"top_p":1.0}');
CREATE TABLE scores (
        system TEXT NOT NULL, step INTEGER, task TEXT NOT NULL, split TEXT NOT NULL,
        correct INTEGER NOT NULL, total INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
        no_answer INTEGER NOT NULL, truncated INTEGER NOT NULL, chosen INTEGER NOT NULL,
        settings_hash TEXT NOT NULL
    );
INSERT INTO "scores" VALUES('start',NULL,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start',NULL,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one',NULL,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one',NULL,'two_step_arithmetic','dev',2,2,3.42380227506653034286e-01,1.0,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same',2,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same',2,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same',4,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,1,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same',4,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one',2,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one',2,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,1,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one',4,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one',4,'two_step_arithmetic','dev',1,2,9.45312057342307388019e-02,9.05468794265769316709e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same',2,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same',2,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same',4,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same',4,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one',2,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one',2,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one',4,'fact_chain','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one',4,'two_step_arithmetic','dev',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('teacher',NULL,'fact_chain','test',2,2,3.42380227506653034286e-01,1.0,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('teacher',NULL,'two_step_arithmetic','test',2,2,3.42380227506653034286e-01,1.0,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_zero_shot',NULL,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_zero_shot',NULL,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start',NULL,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start',NULL,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_zero_shot_cot',NULL,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_zero_shot_cot',NULL,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one_zero_shot',NULL,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one_zero_shot',NULL,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one',NULL,'fact_chain','test',2,2,3.42380227506653034286e-01,1.0,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one',NULL,'two_step_arithmetic','test',2,2,3.42380227506653034286e-01,1.0,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one_zero_shot_cot',NULL,'fact_chain','test',1,2,9.45312057342307388019e-02,9.05468794265769316709e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('start_big_one_zero_shot_cot',NULL,'two_step_arithmetic','test',2,2,3.42380227506653034286e-01,1.0,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same_vote',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same_vote',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same_zero_shot_cot',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_same_zero_shot_cot',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,1,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one_vote',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,1,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one_vote',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one_zero_shot_cot',2,'fact_chain','test',1,2,9.45312057342307388019e-02,9.05468794265769316709e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one_zero_shot_cot',2,'two_step_arithmetic','test',2,2,3.42380227506653034286e-01,1.0,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one@4',4,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,1,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('answers_big_one@4',4,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,0,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same_vote',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same_vote',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same_zero_shot_cot',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_same_zero_shot_cot',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,1,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one_vote',2,'fact_chain','test',0,2,0.0,6.57619772493346910202e-01,0,1,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one_vote',2,'two_step_arithmetic','test',0,2,0.0,6.57619772493346910202e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one_zero_shot_cot',2,'fact_chain','test',1,2,9.45312057342307388019e-02,9.05468794265769316709e-01,0,0,1,'aee1ec619fe1');
INSERT INTO "scores" VALUES('rationales_all_big_one_zero_shot_cot',2,'two_step_arithmetic','test',2,2,3.42380227506653034286e-01,1.0,0,0,1,'aee1ec619fe1');
CREATE TABLE stages (
        name TEXT PRIMARY KEY, seconds REAL NOT NULL
    );
INSERT INTO "stages" VALUES('generate',3.14738488809998671067e+01);
INSERT INTO "stages" VALUES('curate',2.77891469995665829628e-02);
INSERT INTO "stages" VALUES('train',8.75800695239995548053e+01);
INSERT INTO "stages" VALUES('evaluate',32.6320662929993);
INSERT INTO "stages" VALUES('guide',8.08996781299993);
CREATE TABLE teacher_scores (
        teacher TEXT NOT NULL, round INTEGER NOT NULL, accuracy REAL NOT NULL, low REAL NOT NULL,
        high REAL NOT NULL, total INTEGER NOT NULL, samples INTEGER NOT NULL,
        kept INTEGER NOT NULL, chosen INTEGER NOT NULL, mean_logprob REAL, difference REAL,
        difference_low REAL, difference_high REAL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (teacher, round)
    );
INSERT INTO "teacher_scores" VALUES('teacher',0,0.25,0.0625,0.5,8,16,4,3,NULL,NULL,NULL,NULL,'50d59a037fc6');
CREATE TABLE teachers (
        settings_hash TEXT PRIMARY KEY, name TEXT NOT NULL, chat INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "teachers" VALUES('fb75330babd3','bundled:teacher@84b047025718',0);
CREATE TABLE training (
        student TEXT NOT NULL, step INTEGER NOT NULL, loss REAL NOT NULL, tokens INTEGER NOT NULL,
        seconds REAL NOT NULL, settings_hash TEXT NOT NULL, PRIMARY KEY (student, step)
    );
INSERT INTO "training" VALUES('answers_same',2,7.1881326947893411372e+00,28,7.30773694999970757635e+00,'df4126b2c541');
INSERT INTO "training" VALUES('answers_same',4,4.9124156406947543374e+00,56,1.67175972400000318884e+01,'df4126b2c541');
INSERT INTO "training" VALUES('answers_big_one',2,6.5534831455775668374e+00,28,2.06093399430001227305e+01,'df4126b2c541');
INSERT INTO "training" VALUES('answers_big_one',4,3.60180745806012847509e+00,56,2.79256934380000529935e+01,'df4126b2c541');
INSERT INTO "training" VALUES('rationales_all_same',2,2.673681640625,260,4.66144755000004806788e+00,'df4126b2c541');
INSERT INTO "training" VALUES('rationales_all_same',4,2.2259258563701922462e+00,520,7.02410217199940234422e+00,'df4126b2c541');
INSERT INTO "training" VALUES('rationales_all_big_one',2,2.87398564265324507616e+00,260,4.7324686219999421155e+00,'df4126b2c541');
INSERT INTO "training" VALUES('rationales_all_big_one',4,2.07633267916165875632e+00,520,1.60683184380004604463e+01,'df4126b2c541');
COMMIT;
PRAGMA user_version = 5;
